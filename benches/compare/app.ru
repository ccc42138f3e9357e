# What the Rack servers run: /sleep/N takes N milliseconds, /mix 2 ms for nine requests in ten and 500 ms for the tenth.
# The body of a POST is kept, one line each in one write, so that it shows later which POST ran and how often.
lock = Mutex.new
count = 0

run(lambda do |env|
  case env["PATH_INFO"]
  when "/mix"
    # Counted, not drawn: in a run of seconds, luck with the slow ones would outweigh the proxy.
    slow = lock.synchronize { (count += 1) % 10 == 0 }
    sleep(slow ? 0.5 : 0.002)
  when %r{\A/sleep/([1-9]\d*)\z}
    sleep($1.to_i / 1000.0)
  end
  if env["REQUEST_METHOD"] == "POST"
    File.open("posts", "a") { |file| file.syswrite("#{env["rack.input"].read}\n") }
  end
  [200, { "Content-Type" => "text/plain", "Content-Length" => "3" }, ["ok\n"]]
end)
