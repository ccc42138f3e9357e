//! Tags of coded answers, there and back: an application must know its own again.

use super::{ask, compressing, get, rack, readable};
use crate::support::dir::Dir;

/// `Rack::ETag` makes weak tags, the application may make strong ones; `Rack::ConditionalGet` compares both to the letter.
const APPLICATION: &str = r##"
use Rack::ConditionalGet
use Rack::ETag
PAGE = "a page like another\n" * 500
run(lambda do |env|
  fields = { "content-type" => "text/html" }
  case env["PATH_INFO"]
  when "/strong" then fields["etag"] = "\"version-7\""
  when "/locked"
    # As Rails' optimistic locking over HTTP: only who has seen the present version may change it.
    fields["etag"] = "\"version-7\""
    if env["REQUEST_METHOD"] == "PUT"
      return [412, {}, []] unless env["HTTP_IF_MATCH"] == "\"version-7\""
      return [204, {}, []]
    end
  end
  [200, fields, [PAGE]]
end)
"##;

#[test]
fn a_client_that_has_it_is_told_so_whatever_the_tag_and_the_coding() {
    let dir = Dir::new();
    std::fs::write(dir.join("tags.ru"), APPLICATION).expect("written");
    let _app = rack(&dir, &dir.join("tags.ru"));
    let vestibule = compressing(&dir, "true");
    for path in ["/weak", "/strong"] {
        for accepts in ["gzip", "zstd", "br", "identity"] {
            let request = get(accepts).replace("GET /", &format!("GET {path}"));
            let first = ask(&vestibule, &request);
            assert_eq!(first.status, 200);
            let tag = first.field("etag").expect("a tag").to_owned();
            match first.field("content-encoding") {
                Some(coding) => {
                    assert_eq!(coding, accepts);
                    assert!(tag.starts_with("W/\""), "{tag}");
                    assert_eq!(readable(coding, &first.body), "a page like another\n".repeat(500));
                }
                None => assert_eq!(accepts, "identity"),
            }
            let again =
                ask(&vestibule, &request.replace("\r\n\r\n", &format!("\r\nIf-None-Match: {tag}\r\n\r\n")));
            assert_eq!(again.status, 304, "{path} {accepts} {tag}");
            assert_eq!(again.field("etag"), Some(&*tag), "as the client knows it");
            assert_eq!(again.field("vary"), Some("Accept-Encoding"));
            assert_eq!(again.field("content-encoding"), None);
            let other = tag.replace('"', "\"x");
            let other =
                ask(&vestibule, &request.replace("\r\n\r\n", &format!("\r\nIf-None-Match: {other}\r\n\r\n")));
            assert_eq!(other.status, 200, "{path} {accepts} is not what {tag} is");
        }
    }
}

#[test]
fn who_has_seen_the_coded_version_may_change_it() {
    let dir = Dir::new();
    std::fs::write(dir.join("tags.ru"), APPLICATION).expect("written");
    let _app = rack(&dir, &dir.join("tags.ru"));
    let vestibule = compressing(&dir, "true");
    let seen = ask(&vestibule, &get("gzip").replace("GET /", "GET /locked"));
    let tag = seen.field("etag").expect("a tag");
    for (tag, status) in [(tag, 204), ("W/\"version-6~coded\"", 412), ("\"version-7\"", 204)] {
        let put = format!("PUT /locked HTTP/1.1\r\nHost: a\r\nIf-Match: {tag}\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(ask(&vestibule, &put).status, status, "{tag}");
    }
}
