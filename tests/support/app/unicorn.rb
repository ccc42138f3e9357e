# Unicorn as it usually stands in production: preloaded, and the new master's first worker sends the old master home.
listen ENV["CUSTOM_WEB_SOCKET_FILE"] || ENV.fetch("APP_SOCKET")
pid ENV["CUSTOM_WEB_PID_FILE"] || ENV.fetch("APP_PID_FILE")
worker_processes 2
preload_app true
timeout 60

before_fork do |server, _worker|
  old = "#{server.config[:pid]}.oldbin"
  if File.exist?(old) && server.pid != old
    begin
      Process.kill("QUIT", File.read(old).to_i)
    rescue Errno::ENOENT, Errno::ESRCH
      # someone else did it
    end
  end
end
