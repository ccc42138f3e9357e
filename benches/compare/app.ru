# What the Rack servers run: /sleep/N takes N milliseconds, /mix 2 ms for nine requests in ten and 500 ms for the tenth,
# /long/N answers N bytes, /upload reads what it is sent.
# The body of another POST is kept, one line each in one write, so that it shows later which POST ran and how often.
lock = Mutex.new
count = 0
long = 0

# From a request's call to the end of its body it occupies the server: both moments go to a file, under one name.
name = -> { "#{Process.pid}-#{lock.synchronize { long += 1 }}" }
note = lambda do |id|
  File.open("occupied", "a") { |file| file.syswrite("#{id} #{Process.clock_gettime(Process::CLOCK_REALTIME)}\n") }
end

# A body in pieces of 16 KiB, as Rails streams a file. Rack servers call `close` when they are done with it, or give up.
Long = Struct.new(:length, :ended) do
  def each
    piece = "x" * 16_384
    whole, rest = length.divmod(piece.bytesize)
    whole.times { yield piece }
    yield piece[0, rest] if rest > 0
  end

  def close = ended.call
end

run(lambda do |env|
  text = { "Content-Type" => "text/plain" }
  case env["PATH_INFO"]
  when "/mix"
    # Counted, not drawn: in a run of seconds, luck with the slow ones would outweigh the proxy.
    slow = lock.synchronize { (count += 1) % 10 == 0 }
    sleep(slow ? 0.5 : 0.002)
  when %r{\A/sleep/([1-9]\d*)\z}
    sleep($1.to_i / 1000.0)
  when %r{\A/long/([1-9]\d*)\z}
    length = $1.to_i
    note[id = name.call]
    next [200, text.merge("Content-Length" => length.to_s), Long.new(length, -> { note[id] })]
  when "/upload"
    note[id = name.call]
    length, buffer = 0, +""
    begin
      length += buffer.bytesize while env["rack.input"].read(16_384, buffer)
    ensure
      note[id]
    end
    status = length == env["CONTENT_LENGTH"].to_i ? 200 : 400
    next [status, text.merge("Content-Length" => "3"), ["ok\n"]]
  end
  if env["REQUEST_METHOD"] == "POST"
    File.open("posts", "a") { |file| file.syswrite("#{env["rack.input"].read}\n") }
  end
  [200, text.merge("Content-Length" => "3"), ["ok\n"]]
end)
