# A small Rails site with what sites have: pages, a form with a file, files that only some may have, ActionCable.
require "digest"
require "logger"
require "rails"
require "action_controller/railtie"
require "action_cable/engine"

class Site < Rails::Application
  config.root = __dir__
  config.eager_load = false
  config.secret_key_base = "not a secret " * 8
  config.hosts.clear
  config.consider_all_requests_local = false
  config.public_file_server.enabled = false
  config.logger = Logger.new($stderr)
  config.action_dispatch.x_sendfile_header = "X-Accel-Redirect"
  config.action_cable.disable_request_forgery_protection = true
  config.session_store :cookie_store, key: "_site_session"
  routes.append do
    root to: "pages#home"
    get "boot", to: "pages#plain"
    get "json", to: "pages#json"
    get "etag", to: "pages#etag"
    get "away", to: "pages#away"
    get "boom", to: "pages#boom"
    get "told", to: "pages#told"
    get "plain", to: "pages#plain"
    get "empty", to: "pages#empty"
    get "report", to: "pages#report"
    get "shown", to: "pages#shown"
    post "upload", to: "pages#upload"
  end
end

Site.initialize!

class PagesController < ActionController::Base
  def home
    session[:visits] = session[:visits].to_i + 1
    render html: File.read(Rails.root.join("home.html")).html_safe
  end

  def json = render(json: (1..200).to_h { |number| ["key#{number}", "value #{number}"] })
  def plain = render(plain: "plain")
  def empty = head(:no_content)
  def away = redirect_to("/plain?from=away")
  def boom = raise("on purpose")
  def report = send_file(Rails.root.join("private/report.pdf"), filename: "report of today.pdf")
  def shown = send_file(Rails.root.join("private/picture.svg"), type: "image/svg+xml", disposition: "inline")

  def etag
    render plain: "the same " * 100 if stale?(etag: "always", last_modified: Time.utc(2026, 1, 1), public: true)
  end

  # What the front-end says of the client.
  def told
    names = %w[HTTP_HOST HTTP_X_REAL_IP HTTP_X_FORWARDED_PROTO HTTP_X_FORWARDED_FOR HTTP_COOKIE HTTP_ACCEPT QUERY_STRING HTTP_X_SITE
      PATH_INFO REQUEST_METHOD]
    render plain: names.map { |name| "#{name}=#{request.env[name]}\n" }.join + "secure=#{request.ssl?} ip=#{request.remote_ip}\n"
  end

  def upload
    file = params.require(:file)
    render plain: "#{file.original_filename} #{file.size} #{Digest::SHA256.file(file.path).hexdigest} #{params[:note]}"
  end
end

class EchoChannel < ActionCable::Channel::Base
  def subscribed = transmit({ "hello" => params["name"] })
  def say(data) = transmit({ "said" => data["text"] })
end

run Site
