# The application behind Vestibule in its behaviour tests: plain Rack, no framework, nothing to install.
require "digest"
require "json"
require "securerandom"
require_relative "websocket"

sleep ENV["BOOT_SLEEP"].to_f if ENV["BOOT_SLEEP"]
BOOT = SecureRandom.hex(8)
RELEASE = File.basename(File.realpath(__dir__))
LEAKED = []
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

  def initialize(bytes, &closed) = (@bytes, @closed = bytes, closed)

  # Called by the server when it is done with the answer.
  def close = @closed&.call

  def each
    left = @bytes
    while left > 0
      part = left < BLOCK.bytesize ? BLOCK.byteslice(0, left) : BLOCK
      left -= part.bytesize
      yield part
    end
  end
end

# Numbered lines of 16 bytes: no part of it is like another.
class Lines
  def initialize(bytes) = @bytes = bytes

  def each
    left = @bytes
    number = 0
    while left > 0
      block = (number...number + 4096).map { |line| format("%015d\n", line) }.join
      number += 4096
      yield left < block.bytesize ? block.byteslice(0, left) : block
      left -= [left, block.bytesize].min
    end
  end
end

# One range of a fixed text (RFC 9110 14.2).
def range(env)
  whole = (0..99).map { |number| format("%09d\n", number) }.join
  asked = env["HTTP_RANGE"].to_s[/\Abytes=(\d+-\d+)\z/, 1]
  return text(whole, "accept-ranges" => "bytes") unless asked
  first, last = asked.split("-").map(&:to_i)
  return text("", { "content-range" => "bytes */#{whole.bytesize}" }, 416) if first >= whole.bytesize
  last = [last, whole.bytesize - 1].min
  text(whole[first..last], { "content-range" => "bytes #{first}-#{last}/#{whole.bytesize}" }, 206)
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
  when "/release" then text(RELEASE)
  when "/sleep"
    pause(env)
    text(query(env)["token"] || "slept")
  when "/leak" # keeps 10 MB for ever, each page of it touched
    LEAKED << "x" * 10_000_000
    pause(env)
    text(query(env)["token"] || "leaked")
  when "/once"
    body = env["rack.input"].read.to_s
    id = env["HTTP_X_POST_ID"] || body
    ledger(id)
    pause(env)
    text(id)
  when "/begun" # executed as soon as it begins, whatever there is of its body
    ledger(env["HTTP_X_POST_ID"])
    pause(env)
    env["rack.input"].read
    text(env["HTTP_X_POST_ID"])
  when "/echo" then echo(env)
  when "/sse"
    [200, { "content-type" => "text/event-stream", "cache-control" => "no-cache" },
     Parts.new(%w[one two three].map { |word| "data: #{word}\n\n" }, 0.1)]
  when "/stream" then [200, TEXT.dup, Parts.new(%w[first second third], 0)]
  when "/cookies" then text("cookies", "set-cookie" => "a=1; path=/\nb=2; expires=Thu, 01 Jan 2032 00:00:00 GMT\nc=3")
  when "/big"
    bytes = query(env)["bytes"].to_i
    [200, { "content-type" => "application/octet-stream", "content-length" => bytes.to_s }, Big.new(bytes)]
  when "/lines"
    bytes = query(env)["bytes"].to_i
    length = query(env)["chunked"] ? {} : { "content-length" => bytes.to_s }
    [200, { "content-type" => "text/plain" }.merge(length), Lines.new(bytes)]
  when "/download"
    # Written down when the server has no more to do with it: which one, and after how many milliseconds.
    start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    id, bytes = query(env).values_at("id", "bytes")
    body = Big.new(bytes.to_i) do
      ledger("#{id} #{((Process.clock_gettime(Process::CLOCK_MONOTONIC) - start) * 1000).round}")
    end
    [200, { "content-type" => "application/octet-stream", "content-length" => bytes }, body]
  when "/range" then range(env)
  when "/page" then text(File.read(File.join(__dir__, "page.html")), "content-type" => "text/html; charset=utf-8")
  when "/form"
    text("form: #{env["rack.input"].read} as #{env["CONTENT_TYPE"]}")
  when "/upload"
    body = env["rack.input"].read.to_s
    text("#{body.bytesize} #{Digest::SHA256.hexdigest(body)}")
  when "/hijack" then upgrade(env)
  when "/websocket"
    WebSocket.wanted?(env) ? WebSocket.echo(env) : text("WebSocket wanted", {}, 426)
  else text("nothing at #{env["PATH_INFO"]}", {}, 404)
  end
end)
