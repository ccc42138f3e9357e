# Unicorn behind Vestibule: `unicorn -c config/unicorn.rb -E production`. Checked with Unicorn 6.0.

# Where Vestibule looks for the application when nothing is configured. Let nothing else bind or remove this path.
listen ENV.fetch("CUSTOM_WEB_SOCKET_FILE", "/tmp/web_server.sock"), backlog: 1024
# Unicorn has no option of the command line for this.
pid ENV.fetch("CUSTOM_WEB_PID_FILE", "/tmp/web_server.pid")

# Each runs one request at a time. Vestibule counts them, and lets one request more in than there are workers, so that
# none of them waits for its next one.
worker_processes Integer(ENV.fetch("WEB_CONCURRENCY", "2"))

# A worker that takes longer for one request is killed. Keep it above Vestibule's `timeout.response` (60 s), so that
# the client gets its 504 and not a broken connection.
timeout 75

# The new code is loaded before the old one goes: at USR2 the old master serves until the new one can, and if the new
# code does not load, the old one goes on. Without preloading, a broken release takes the site down.
preload_app true

before_fork do |server, _worker|
  # What the workers must not share with the master is closed here, such as connections that loading has opened.

  # The new master's first worker sends the old master home (QUIT: it finishes what runs).
  old = "#{server.config[:pid]}.oldbin"
  if File.exist?(old) && server.pid != old
    begin
      Process.kill("QUIT", File.read(old).to_i)
    rescue Errno::ENOENT, Errno::ESRCH
      # It has gone already.
    end
  end
end

# Restart: kill -USR2 (the hook above does the rest; no request waits for more than moments).
# Stop:    kill -QUIT (finishes what runs). TERM and INT cut what runs.
