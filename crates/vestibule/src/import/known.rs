//! What is said of directives that nobody else looked at.

use super::directive::Directive;
use super::measure;

/// `limits.head`, if nothing else is said.
pub(super) const HEAD: u64 = 64 << 10;

/// Why nothing has to be written for a directive; `None` where something is lost without it.
pub(super) fn needless(directive: &Directive) -> Option<&'static str> {
    const OWN_WAY: &str = "it is done as it should be";
    let first = directive.argument(0);
    Some(match directive.name.as_str() {
        // These are needed, as they are written.
        "underscores_in_headers" if first == "on" => return None,
        "proxy_redirect" if !matches!(first, "off" | "default") => return None,
        "large_client_header_buffers" if measure::head(directive).is_none_or(|head| head > HEAD) => {
            return None;
        }
        "http2_max_concurrent_streams" => return None,
        "satisfy" if first == "any" => return None,
        "absolute_redirect" | "port_in_redirect" | "merge_slashes" | "if_modified_since" | "etag"
            if first == "off" =>
        {
            return None;
        }
        "types" | "default_type" => "no file is sent by it",
        "sendfile" | "tcp_nopush" | "tcp_nodelay" | "aio" | "directio" | "output_buffers"
        | "postpone_output" => OWN_WAY,
        "sendfile_max_chunk" | "aio_write" | "read_ahead" | "open_file_cache" | "open_file_cache_valid" => {
            OWN_WAY
        }
        "open_file_cache_min_uses"
        | "open_file_cache_errors"
        | "disable_symlinks"
        | "etag"
        | "if_modified_since" => {
            "files have ETag and Last-Modified, and are looked at anew every second; links out of the root are not followed"
        }
        "types_hash_max_size" | "types_hash_bucket_size" | "charset_types" => "the types of files are known",
        "charset" if matches!(first, "off" | "utf-8" | "UTF-8") => "the types of files are known",
        "server_tokens" => "no version is shown",
        "server_names_hash_bucket_size"
        | "server_names_hash_max_size"
        | "variables_hash_max_size"
        | "variables_hash_bucket_size"
        | "map_hash_bucket_size"
        | "map_hash_max_size"
        | "proxy_headers_hash_max_size"
        | "proxy_headers_hash_bucket_size" => "tables have the size that they need",
        "gzip_vary" | "gzip_proxied" | "gzip_disable" | "gzip_http_version" | "gzip_buffers"
        | "gzip_comp_level" | "brotli_comp_level" | "zstd_comp_level" | "brotli_static" | "gunzip" => {
            "Vary is always right, the level suits answers that are made at once, and who cannot read a coding does not get it"
        }
        "proxy_http_version" => "HTTP/1.1 is spoken with the application",
        "proxy_redirect" => {
            "what the application says in Location is passed on; it knows the host that was asked for"
        }
        "proxy_buffers"
        | "proxy_buffer_size"
        | "proxy_busy_buffers_size"
        | "proxy_temp_path"
        | "proxy_temp_file_write_size"
        | "proxy_max_temp_file_size"
        | "client_body_buffer_size"
        | "client_body_temp_path"
        | "client_body_in_file_only"
        | "client_body_in_single_buffer"
        | "proxy_headers_hash" => "bodies stand in memory up to buffer.memory, and above it on disk",
        "client_header_buffer_size"
        | "large_client_header_buffers"
        | "client_max_header_size"
        | "connection_pool_size"
        | "request_pool_size" => "a head may have limits.head bytes, 64 KiB",
        "proxy_send_timeout" | "proxy_socket_keepalive" => {
            "an application that takes nothing is seen by timeout.response"
        }
        "proxy_next_upstream" | "proxy_next_upstream_tries" | "proxy_next_upstream_timeout" => {
            "what may be sent again safely is, and requests wait while the application restarts"
        }
        "log_not_found" | "log_subrequest" | "rewrite_log" | "open_log_file_cache" | "error_log" => {
            "events go to standard error, for the journal; what is answered 404 is in the access log"
        }
        "merge_slashes"
        | "port_in_redirect"
        | "absolute_redirect"
        | "server_name_in_redirect"
        | "msie_padding"
        | "recursive_error_pages"
        | "reset_timedout_connection"
        | "lingering_close"
        | "lingering_time"
        | "lingering_timeout"
        | "ignore_invalid_headers"
        | "chunked_transfer_encoding"
        | "keepalive_disable"
        | "max_ranges"
        | "satisfy"
        | "subrequest_output_buffer_size"
        | "uninitialized_variable_warn" => OWN_WAY,
        "http2_idle_timeout"
        | "http2_recv_timeout"
        | "http2_max_field_size"
        | "http2_max_header_size"
        | "http2_max_requests"
        | "http2_chunk_size"
        | "http2_push_preload"
        | "http2_body_preread_size" => "limits.http2_streams and the other limits hold for HTTP/2 too",
        "events"
        | "worker_connections"
        | "worker_rlimit_nofile"
        | "multi_accept"
        | "use"
        | "accept_mutex"
        | "worker_priority"
        | "worker_cpu_affinity"
        | "worker_aio_requests"
        | "worker_shutdown_timeout"
        | "timer_resolution"
        | "pcre_jit"
        | "thread_pool"
        | "lock_file" => {
            "limits.connections counts them, and open files are raised to what the system allows"
        }
        "user" | "pid" | "daemon" | "master_process" | "env" | "working_directory" => {
            "the systemd unit says it (config/)"
        }
        "resolver" | "resolver_timeout" => "names are looked up as the system does",
        "underscores_in_headers" => {
            "fields with an underscore in their name are left out; fields.underscores lets them in"
        }
        "limit_req_log_level"
        | "limit_conn_log_level"
        | "limit_req_zone"
        | "limit_conn_zone"
        | "limit_zone" => "a rate is counted for its route",
        "real_ip_recursive" => "the rightmost address that is not trusted is the client's",
        "load_module" => "what it adds is told where it is used",
        "break" => OWN_WAY,
        "root" | "index" => "no file is sent by it",
        "gzip_types" | "gzip_min_length" | "brotli_types" | "brotli_min_length" => {
            "nothing is compressed there"
        }
        "fastcgi_param"
        | "uwsgi_param"
        | "scgi_param"
        | "fastcgi_index"
        | "fastcgi_split_path_info"
        | "fastcgi_read_timeout"
        | "fastcgi_buffers"
        | "fastcgi_buffer_size" => "it says nothing without its fastcgi_pass or uwsgi_pass",
        "passenger_root"
        | "passenger_instance_registry_dir"
        | "passenger_friendly_error_pages"
        | "passenger_enabled" => "Passenger runs by itself, outside of nginx",
        _ => return None,
    })
}

/// What to do about a directive that is not carried over.
pub(super) fn advice(name: &str) -> &'static str {
    match name {
        "client_header_timeout" | "client_body_timeout" => {
            "limits.request_timeout is the same for all servers"
        }
        "keepalive_timeout" => "limits.idle_timeout is the same for all servers",
        "send_timeout" => "limits.send_timeout is the same for all servers",
        "keepalive_requests" => "limits.requests_per_connection is the same for all servers",
        "large_client_header_buffers" => {
            "limits.head is the same for all servers: write how long a head may be"
        }
        "http2_max_concurrent_streams" => "limits.http2_streams is the same for all servers, 1 to 1000",
        "underscores_in_headers" => "fields.underscores is the same for all servers",
        "set_real_ip_from" | "real_ip_header" => "trusted_proxies are the same for all servers",
        "worker_processes" => "`workers` stands at the top",
        "proxy_redirect" => {
            "Location is passed on as the application says it: have it name the host that was asked for"
        }
        "charset" => "files of text are sent as UTF-8: write others in files.types",
        "absolute_redirect" | "port_in_redirect" => "a redirect of a directory names its path alone",
        "merge_slashes" => "slashes are never merged: //a is another path than /a",
        "etag" | "if_modified_since" => {
            "files have ETag and Last-Modified, and conditions on both are heeded"
        }
        "allow" | "deny" | "auth_basic" | "auth_basic_user_file" => {
            "write `allow`, `deny` or `auth` into the route that leads there"
        }
        "satisfy" => "both address and password have to be right; leave out what may be missing",
        "more_clear_headers" => "write fields.response.remove into the route, with each name",
        name if name.starts_with("passenger_") || name == "rails_env" => {
            "write it in Passengerfile.json, beside the application"
        }
        "map" | "geo" | "split_clients" | "set" | "set_by_lua" => {
            "there are no variables of one's own; a [[route]] for each case says the same"
        }
        "if" => {
            "write a [[route]] with a condition (method, header, query, client) if there is one that says this"
        }
        "auth_request" | "auth_request_set" => {
            "nobody else is asked whether a request may come; `auth` has names and passwords"
        }
        "auth_jwt" | "auth_ldap" => "have the application ask, or write `auth` with names and passwords",
        "proxy_cache"
        | "proxy_cache_path"
        | "proxy_cache_valid"
        | "proxy_cache_key"
        | "proxy_cache_use_stale"
        | "proxy_cache_bypass"
        | "proxy_no_cache"
        | "proxy_cache_lock"
        | "proxy_cache_methods"
        | "proxy_cache_revalidate"
        | "proxy_cache_min_uses"
        | "proxy_cache_background_update"
        | "proxy_cache_lock_timeout"
        | "proxy_store"
        | "proxy_cache_purge" => {
            "answers of the application are not cached; it asks its own cache, or a CDN stands before it"
        }
        "proxy_intercept_errors" => "the application's own error pages pass as they are",
        "proxy_ignore_client_abort" => "a request whose client left is given up",
        "proxy_cookie_path" | "proxy_cookie_domain" | "proxy_cookie_flags" => {
            "have the application set its cookies right"
        }
        "proxy_method" | "proxy_set_body" | "proxy_pass_request_body" => {
            "requests are passed on as they came"
        }
        "proxy_bind" | "proxy_limit_rate" | "limit_rate" | "limit_rate_after" => "nothing corresponds to it",
        "proxy_ssl_server_name"
        | "proxy_ssl_verify"
        | "proxy_ssl_name"
        | "proxy_ssl_certificate"
        | "proxy_ssl_certificate_key"
        | "proxy_ssl_trusted_certificate"
        | "proxy_ssl_protocols" => "the application is reached in the clear",
        "sub_filter" | "sub_filter_once" | "sub_filter_types" | "addition_types" | "ssi" | "image_filter" => {
            "what the application answers is not changed; have it answer this itself"
        }
        "limit_except" => {
            "write a [[route]] with `method` for those that are let in, and one with `deny` for the rest"
        }
        "valid_referers" | "secure_link" | "secure_link_md5" | "userid" => "have the application look at it",
        "log_format" => {
            "the access log is JSON, with more in it than the combined format; log.access = \"combined\" writes that"
        }
        "stream" | "mail" => "only HTTP is spoken",
        "limit_conn" => "only limits.connections_per_address corresponds to it, for all routes",
        "limit_req" => "write `rate` into the route",
        "access_log" => "there is one access log, with every request in it: log.access, log.output",
        "error_page" => "write it in [error_pages], which is the same for all routes",
        "mirror" | "mirror_request_body" => "requests are sent to one application",
        "more_set_headers" | "more_set_input_headers" | "more_clear_input_headers" => {
            "write fields.request or fields.response of the route: set, add, remove"
        }
        "add_trailer" => "trailers of the application pass; none are added",
        "ssl_conf_command" => "OpenSSL is not used",
        name if name.contains("lua") => "Lua is not run; say what it does in a route, or in the application",
        name if name.contains("perl") => "no code is run here; have the application do it",
        name if name.starts_with("modsecurity") => {
            "there is no such firewall here; bad requests are refused, rates are limited"
        }
        name if name.starts_with("geoip") => {
            "where a client is from is not known; have the application look at X-Real-IP"
        }
        name if name.starts_with("fastcgi") || name.starts_with("uwsgi") || name.starts_with("scgi") => {
            "applications are reached by HTTP only"
        }
        name if name.starts_with("dav_") || name.starts_with("autoindex") => {
            "directories are neither listed nor changed"
        }
        name if name.starts_with("js_") || name.starts_with("wasm") => "no code is run here",
        name if name.starts_with("otel")
            || name.starts_with("opentracing")
            || name.starts_with("datadog") =>
        {
            "traceparent passes to the application, and X-Request-Id is in the access log"
        }
        _ => "nothing is known that corresponds to it; look whether the site needs it",
    }
}
