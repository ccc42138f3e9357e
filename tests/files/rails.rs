//! `send_file` of a real Rails application behind a real Puma.

use std::fs;

use super::{config, pattern};
use crate::support::app::{App, Kind};
use crate::support::client::{Client, get};
use crate::support::dir::Dir;
use crate::support::vestibule::Vestibule;

const APPLICATION: &str = r#"
require "rails"
require "action_controller/railtie"

class Site < Rails::Application
  config.root = __dir__
  config.eager_load = false
  config.secret_key_base = "0" * 64
  config.hosts = nil
  config.consider_all_requests_local = false
  config.logger = Logger.new($stdout)
  config.action_dispatch.x_sendfile_header = ENV["SENDFILE_HEADER"]
  routes.append do
    get "/boot", to: ->(_) { [200, { "Content-Type" => "text/plain" }, ["up"]] }
    get "/film", to: "films#show"
  end
end

class FilmsController < ActionController::Base
  def show
    cookies[:seen] = "1"
    response.headers["X-Bytes-By"] = "whoever"
    send_file Rails.root.join("private", "a film.mp4"), type: "video/mp4", filename: "film.mp4"
  end
end

Site.initialize!
run Site
"#;

/// A Rails application whose `x_sendfile_header` is `header`, `None` being what a new one has.
fn rails(dir: &Dir, header: Option<&str>) -> (App, Vec<u8>) {
    let mut app = App::stopped(Kind::Puma, dir);
    let film = pattern(2_000_000);
    fs::write(app.home().join("config.ru"), APPLICATION).expect("written");
    fs::create_dir(app.home().join("private")).expect("a directory");
    fs::write(app.home().join("private/a film.mp4"), &film).expect("written");
    let socket = format!("unix://{}", dir.socket().display());
    let pid_file = dir.join("web_server.pid");
    let pid_file = pid_file.to_str().expect("a path");
    let line = ["puma", "-e", "production", "-t", "2:2", "-b", &socket, "--pidfile", pid_file, "config.ru"];
    app.run_by(&line, false, |command| {
        if let Some(header) = header {
            command.env("SENDFILE_HEADER", header);
        }
    });
    app.wait_until_answers();
    (app, film)
}

#[test]
fn send_file_works_however_rails_is_configured() {
    for header in [None, Some("X-Sendfile"), Some("X-Accel-Redirect")] {
        let dir = Dir::new();
        let (app, film) = rails(&dir, header);
        let route =
            format!("upstream = \"app\"\nsendfile = {{ \"/private/\" = {:?} }}", app.home().join("private"));
        let vestibule = Vestibule::start(&dir, &config(&dir, &route, ""));
        let answer = get(vestibule.address(), "/film");
        assert!(answer.status == 200 && answer.body == film, "{header:?}: {}", answer.head);
        assert_eq!(answer.field("content-type"), Some("video/mp4"));
        assert!(answer.field("content-disposition").is_some_and(|value| value.contains("film.mp4")));
        assert!(
            answer.all("set-cookie").iter().any(|cookie| cookie.starts_with("seen=1")),
            "{}",
            answer.head
        );
        assert_eq!(answer.field("x-bytes-by"), Some("whoever"));
        // The file's own tag, and ranges, show who sent it: Rails has neither.
        let is_ours = answer.field("accept-ranges").is_some();
        assert_eq!(is_ours, header.is_some(), "{header:?}: {}", answer.head);
        if is_ours {
            let mut client = Client::connect(vestibule.address()).expect("connected");
            client.send("GET /film HTTP/1.1\r\nHost: a\r\nRange: bytes=1000000-\r\n\r\n").expect("sent");
            let part = client.response().expect("an answer");
            assert!(part.status == 206 && part.body == film[1_000_000..], "{}", part.head);
        }
    }
}
