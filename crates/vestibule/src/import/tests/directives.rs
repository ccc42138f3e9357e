//! No directive is in no list: with it, something else is written or said than without it.

use super::*;

/// What may be said anywhere, with a value that is not nginx's default.
const EVERYWHERE: &[&str] = &[
    // core
    "absolute_redirect off;",
    "aio threads;",
    "chunked_transfer_encoding off;",
    "client_body_buffer_size 64k;",
    "client_body_in_file_only on;",
    "client_body_temp_path /t;",
    "client_body_timeout 7s;",
    "client_max_body_size 7m;",
    "default_type text/html;",
    "directio 4m;",
    "disable_symlinks on;",
    "error_page 404 /missing.html;",
    "error_page 404 =200 /missing.html;",
    "error_page 502 /api502.json;",
    "error_page 404 = @nobody;",
    "etag off;",
    "if_modified_since off;",
    "keepalive_disable none;",
    "keepalive_requests 7;",
    "keepalive_requests 0;",
    "keepalive_timeout 7s;",
    "keepalive_timeout 0;",
    "limit_rate 10k;",
    "limit_rate_after 10k;",
    "lingering_close always;",
    "log_not_found off;",
    "max_ranges 1;",
    "merge_slashes off;",
    "open_file_cache max=10;",
    "port_in_redirect off;",
    "recursive_error_pages on;",
    "reset_timedout_connection on;",
    "resolver 192.0.2.1;",
    "satisfy any;",
    "send_timeout 7s;",
    "sendfile on;",
    "server_name_in_redirect on;",
    "server_tokens off;",
    "subrequest_output_buffer_size 4k;",
    "tcp_nodelay off;",
    "types { text/x-own own; }",
    // access, auth, limits
    "allow 192.0.2.0/24;",
    "deny 192.0.2.0/24;",
    "auth_basic_user_file /nowhere;",
    "auth_delay 1s;",
    "auth_request /auth;",
    "limit_conn perip 5;",
    "limit_conn_status 429;",
    "limit_req zone=z burst=5;",
    "limit_req_status 503;",
    "limit_req_dry_run on;",
    // fields, caching, charset, compression
    "add_header X-One 1;",
    "add_header Alt-Svc 'h3=\":443\"';",
    "add_header Cache-Control public;",
    "add_header Strict-Transport-Security max-age=9;",
    "add_trailer X-One 1;",
    "more_clear_headers X-Runtime;",
    "more_set_headers 'X-One: 1';",
    "charset koi8-r;",
    "expires 1d;",
    "expires epoch;",
    "gunzip on;",
    "gzip on;",
    "gzip_comp_level 6;",
    "gzip_http_version 1.0;",
    "gzip_proxied any;",
    "gzip_static on;",
    "gzip_vary on;",
    "brotli on;",
    "brotli_static on;",
    "zstd_static on;",
    // the application
    "proxy_bind 192.0.2.1;",
    "proxy_buffer_size 8k;",
    "proxy_buffering off;",
    "proxy_buffers 8 8k;",
    "proxy_cache c;",
    "proxy_cache_valid 200 1m;",
    "proxy_connect_timeout 7s;",
    "proxy_cookie_domain a b;",
    "proxy_cookie_flags a secure;",
    "proxy_cookie_path / /a;",
    "proxy_force_ranges on;",
    "proxy_hide_header X-Runtime;",
    "proxy_http_version 1.1;",
    "proxy_ignore_client_abort on;",
    "proxy_ignore_headers X-Accel-Redirect;",
    "proxy_intercept_errors on;",
    "proxy_limit_rate 10k;",
    "proxy_max_temp_file_size 0;",
    "proxy_max_temp_file_size 7m;",
    "proxy_method POST;",
    "proxy_next_upstream off;",
    "proxy_no_cache 1;",
    "proxy_pass_header Server;",
    "proxy_pass_request_body off;",
    "proxy_pass_request_headers off;",
    "proxy_read_timeout 7s;",
    "proxy_redirect http://a/ /;",
    "proxy_request_buffering off;",
    "proxy_send_timeout 7s;",
    "proxy_set_body a;",
    "proxy_set_header Host $host;",
    "proxy_set_header X-One 1;",
    "proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;",
    "proxy_socket_keepalive on;",
    "proxy_ssl_verify on;",
    "proxy_store on;",
    "proxy_temp_path /t;",
    "fastcgi_param A b;",
    "passenger_env_var A b;",
    "passenger_app_env staging;",
    "passenger_enabled on;",
    // logs, variables, others
    "access_log off;",
    "access_log /var/log/a.log;",
    "error_log /var/log/b.log;",
    "if ($request_method = POST) { return 405; }",
    "if ($host = b.test) { return 301 https://b.test/; }",
    "image_filter test;",
    "mirror /m;",
    "real_ip_header X-Real-IP;",
    "real_ip_recursive on;",
    "return 410;",
    "rewrite ^/a$ /b permanent;",
    "rewrite ^/a$ /b last;",
    "secure_link $arg_a;",
    "set $a b;",
    "set_real_ip_from 192.0.2.0/24;",
    "ssi on;",
    "sub_filter a b;",
    "try_files $uri =404;",
    "underscores_in_headers on;",
    "userid on;",
    "valid_referers none;",
    "frobnicate on;",
    "content_by_lua_block { ngx.say(1) }",
];

/// What only a server may say.
const OF_SERVERS: &[&str] = &[
    "client_header_buffer_size 2k;",
    "client_header_timeout 7s;",
    "connection_pool_size 1k;",
    "http2 on;",
    "http2_max_concurrent_streams 7;",
    "http3 on;",
    "ignore_invalid_headers off;",
    "large_client_header_buffers 4 128k;",
    "large_client_header_buffers 4 8k;",
    "listen 8081;",
    "listen 8443 quic;",
    "location /other { return 204; }",
    "location @nobody { return 204; }",
    "request_pool_size 8k;",
    "server_name a.test;",
    "ssl_ciphers HIGH;",
    "ssl_early_data on;",
    "ssl_prefer_server_ciphers on;",
    "ssl_protocols TLSv1.3;",
    "ssl_reject_handshake on;",
    "ssl_session_cache shared:a:1m;",
    "ssl_stapling on;",
    "ssl_verify_client on;",
];

/// What only a location may say.
const OF_LOCATIONS: &[&str] = &[
    "alias /srv/alias/;",
    "root /srv/other;",
    "autoindex on;",
    "dav_methods PUT;",
    "empty_gif;",
    "fastcgi_pass unix:/run/f.sock;",
    "internal;",
    "limit_except GET { deny all; }",
    "memcached_pass localhost;",
    "stub_status;",
    "uwsgi_pass unix:/run/u.sock;",
];

/// A site with a directive in its server, in a location that passes on, in one with files, or around them all.
fn with(directive: &str, place: usize) -> (String, String) {
    let [server, passing, files, http] = [0, 1, 2, 3].map(|own| if own == place { directive } else { "" });
    let imported = loose(&format!(
        "{http}\nlimit_req_zone $binary_remote_addr zone=z:1m rate=5r/s;\nlimit_conn_zone $binary_remote_addr zone=perip:1m;\n\
         upstream app {{ server 192.0.2.7:3000; server 192.0.2.8:3000; }}\n\
         server {{\nlisten 8080;\nroot /srv;\n{server}\nlocation /p/ {{\nproxy_pass http://app;\n{passing}\n}}\n\
         location /s/ {{\nroot /srv;\n{files}\n}}\n}}\n"
    ));
    (imported.config, imported.said)
}

#[test]
fn no_directive_is_in_no_list() {
    let places = ["server", "passing location", "location with files", "configuration"];
    let mut silent = Vec::new();
    for (directives, of) in [(EVERYWHERE, 0..4), (OF_SERVERS, 0..1), (OF_LOCATIONS, 1..3)] {
        for directive in directives {
            for place in of.clone() {
                if with(directive, place) == with("", place) {
                    silent.push(format!("{directive} in a {}", places[place]));
                }
            }
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn no_directive_of_a_real_site_is_in_no_list() {
    let mut silent = Vec::new();
    for name in ["capistrano", "discourse", "dokku", "mastodon", "passenger", "rails_guide"] {
        let file = directory().join(name).with_extension("conf");
        let mut notes = Notes::default();
        let main = include::Reader::new(&file, Some(&directory()), &mut notes).read(&file).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let whole = loose_at(&text);
        let mut lines: Vec<u32> = Vec::new();
        leaves(&main, &mut lines);
        for line in lines {
            // Only where it has a line to itself can it be left out without moving another; port 80 is nginx's default.
            let own = text.lines().nth(line as usize - 1).unwrap_or_default();
            let is_usual = own.trim().starts_with("listen 80");
            if own.matches(';').count() != 1 || own.contains(['{', '}']) || is_usual {
                continue;
            }
            let without: Vec<_> = text
                .lines()
                .enumerate()
                .map(|(at, own)| if at + 1 == line as usize { "" } else { own })
                .collect();
            let without = loose_at(&without.join("\n"));
            if whole.config == without.config && whole.said == without.said {
                silent.push(format!("{name}.conf:{line}: {own}"));
            }
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

/// The lines of the directives without a block.
fn leaves(block: &[Directive], lines: &mut Vec<u32>) {
    for directive in block {
        match &directive.block {
            Some(inside) => leaves(inside, lines),
            None => lines.push(directive.place.line),
        }
    }
}

fn loose_at(text: &str) -> Imported {
    loose(&format!("{}\n", text.trim_end()))
}

/// What becomes of a file that `check` may refuse, such as one without its certificate.
fn loose(text: &str) -> Imported {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("site.conf");
    fs::write(&file, text).unwrap();
    let imported = convert(&file, None).unwrap();
    let shown = dir.path().display().to_string();
    let plain = |text: &str| text.replace(&format!("{shown}/"), "");
    Imported { config: plain(&imported.config), said: plain(&imported.said), missing: imported.missing }
}
