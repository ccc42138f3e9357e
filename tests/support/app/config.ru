# The application behind Vestibule in its behaviour tests: plain Rack, no framework, nothing to install.
require "digest"
require "json"
require "securerandom"

sleep ENV["BOOT_SLEEP"].to_f if ENV["BOOT_SLEEP"]
BOOT = SecureRandom.hex(8)
TEXT = { "content-type" => "text/plain" }.freeze

def text(body, fields = {}, status = 200)
  [status, TEXT.merge("content-length" => body.bytesize.to_s).merge(fields), [body]]
end

def query(env)
  env["QUERY_STRING"].to_s.split("&").map { |pair| pair.split("=", 2) }.to_h
end

def pause(env)
  ms = query(env)["ms"].to_f
  sleep ms / 1000 if ms > 0
end

# Written when the request is *executed*, in one write, so that a second execution shows as a second line.
def ledger(id)
  File.open(ENV.fetch("POST_LEDGER"), File::WRONLY | File::APPEND | File::CREAT, 0o666) do |file|
    file.syswrite("#{id}\n")
  end
end

def echo(env)
  body = env["rack.input"].read.to_s
  fields = env.select { |name, _| name.start_with?("HTTP_") || %w[CONTENT_TYPE CONTENT_LENGTH].include?(name) }
  text(JSON.generate("method" => env["REQUEST_METHOD"], "path" => env["PATH_INFO"], "query" => env["QUERY_STRING"],
                     "fields" => fields, "length" => body.bytesize, "sha256" => Digest::SHA256.hexdigest(body)),
       "content-type" => "application/json")
end

# A body that is made while it is sent.
class Parts
  def initialize(parts, pause) = (@parts, @pause = parts, pause)

  def each
    @parts.each_with_index do |part, index|
      sleep @pause if index > 0
      yield part
    end
  end
end

class Big
  BLOCK = (0..255).to_a.pack("C*") * 256

  def initialize(bytes) = @bytes = bytes

  def each
    left = @bytes
    while left > 0
      part = left < BLOCK.bytesize ? BLOCK.byteslice(0, left) : BLOCK
      left -= part.bytesize
      yield part
    end
  end
end

# Speaks an "echo" protocol after the 101: every byte comes back in upper case until the client closes.
def upgrade(env)
  return text("no hijack here", {}, 501) unless env["rack.hijack?"]
  return text("upgrade wanted", {}, 426) unless env["HTTP_UPGRADE"].to_s.casecmp?("echo")
  env["rack.hijack"].call
  io = env["rack.hijack_io"]
  Thread.new do
    io.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello from the application\n")
    io.flush
    loop { io.write(io.readpartial(4096).upcase) && io.flush }
  rescue IOError, SystemCallError
    io.close
  end
  [200, {}, []]
end

run(lambda do |env|
  case env["PATH_INFO"]
  when "/" then text("a small answer of seventy bytes, more or less, from a Rack application")
  when "/pid" then text(Process.pid.to_s)
  when "/boot" then text(BOOT)
  when "/sleep"
    pause(env)
    text(query(env)["token"] || "slept")
  when "/once"
    body = env["rack.input"].read.to_s
    id = env["HTTP_X_POST_ID"] || body
    ledger(id)
    pause(env)
    text(id)
  when "/echo" then echo(env)
  when "/sse"
    [200, { "content-type" => "text/event-stream", "cache-control" => "no-cache" },
     Parts.new(%w[one two three].map { |word| "data: #{word}\n\n" }, 0.1)]
  when "/stream" then [200, TEXT.dup, Parts.new(%w[first second third], 0)]
  when "/cookies" then text("cookies", "set-cookie" => "a=1; path=/\nb=2; expires=Thu, 01 Jan 2032 00:00:00 GMT\nc=3")
  when "/big"
    bytes = query(env)["bytes"].to_i
    [200, { "content-type" => "application/octet-stream", "content-length" => bytes.to_s }, Big.new(bytes)]
  when "/upload"
    body = env["rack.input"].read.to_s
    text("#{body.bytesize} #{Digest::SHA256.hexdigest(body)}")
  when "/hijack" then upgrade(env)
  else text("nothing at #{env["PATH_INFO"]}", {}, 404)
  end
end)
