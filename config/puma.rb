# Puma behind Vestibule: `puma -C config/puma.rb`. Checked with Puma 5.6.

# Where Vestibule looks for the application when nothing is configured. Let nothing else bind or remove this path.
# (Puma takes options in the URL: `?backlog=4096`, `?umask=0117`.)
bind "unix://#{ENV.fetch("CUSTOM_WEB_SOCKET_FILE", "/tmp/web_server.sock")}"
pidfile ENV.fetch("CUSTOM_WEB_PID_FILE", "/tmp/web_server.pid")
environment ENV.fetch("RACK_ENV") { ENV.fetch("RAILS_ENV", "production") }

# Vestibule counts these threads, in all workers, and lets no more requests in at once; the others wait outside, in order.
threads_count = Integer(ENV.fetch("RAILS_MAX_THREADS", "5"))
threads threads_count, threads_count

# 0 is a single process. One worker per core is usual; each has its own threads.
workers Integer(ENV.fetch("WEB_CONCURRENCY", "0"))

# Without preloading, `kill -USR1` restarts one worker after the other (a phased restart), and the site goes on meanwhile.
# With it, USR1 is the same as USR2: everything is loaded anew, and requests wait for as long as that takes.
preload_app! false

# Longer than the 15 s after which Vestibule closes a connection that it does not use, so that Vestibule closes first.
persistent_timeout 20

# Restart: kill -USR1 (phased, in a cluster) or kill -USR2 (all at once; the socket stays open, requests wait).
# Stop:    kill -TERM (finishes what runs). Never QUIT: Puma dies of it on the spot.
