# A WebSocket that echoes (RFC 6455), over a hijacked connection: text and binary messages in as many frames as they came
# in, pings with pongs, a close with a close. The text "close" makes it close first, with 1001.
require "digest"

class WebSocket
  PROOF = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" # RFC 6455 1.3
  CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

  def self.wanted?(env)
    env["rack.hijack?"] && env["HTTP_UPGRADE"].to_s.casecmp?("websocket") && env["HTTP_SEC_WEBSOCKET_KEY"]
  end

  def self.echo(env)
    env["rack.hijack"].call
    io = env["rack.hijack_io"]
    accept = [Digest::SHA1.digest(env["HTTP_SEC_WEBSOCKET_KEY"] + PROOF)].pack("m0")
    Thread.new { new(io).run(accept) }
    [200, {}, []]
  end

  def initialize(io) = @io = io

  def run(accept)
    @io.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
              "Sec-WebSocket-Accept: #{accept}\r\n\r\n")
    @io.flush
    # Once both have said so, the server closes the connection (RFC 6455 7.1.1).
    answer(*receive) until @closing
  rescue IOError, SystemCallError
    nil
  ensure
    @io.close
  end

  private

  def answer(final, kind, payload)
    case kind
    when TEXT
      return send_frame(true, CLOSE, [1001].pack("n") + "as asked") if payload == "close"
      send_frame(final, kind, payload)
    when CONTINUATION, BINARY then send_frame(final, kind, payload)
    when PING then send_frame(true, PONG, payload)
    when CLOSE
      send_frame(true, CLOSE, payload) unless @closed
      @closing = true
    end
  end

  def receive
    first, second = exactly(2).unpack("CC")
    length = case second & 0x7f
             when 126 then exactly(2).unpack1("n")
             when 127 then exactly(8).unpack1("Q>")
             else second & 0x7f
             end
    mask = exactly(4)
    [first & 0x80 != 0, first & 0x0f, unmask(exactly(length), mask)]
  end

  # Eight bytes at a time: Ruby takes long for megabytes of single ones.
  def unmask(payload, mask)
    length = payload.bytesize
    key = (mask * 2).unpack1("Q")
    words = (payload + "\0" * (-length % 8)).unpack("Q*")
    words.map { |word| word ^ key }.pack("Q*").byteslice(0, length)
  end

  def send_frame(final, kind, payload)
    @closed = true if kind == CLOSE
    length = payload.bytesize
    head = [(final ? 0x80 : 0) | kind]
    head = if length < 126 then [*head, length].pack("CC")
           elsif length < 65_536 then [*head, 126, length].pack("CCn")
           else [*head, 127, length].pack("CCQ>")
           end
    @io.write(head + payload)
    @io.flush
  end

  def exactly(length)
    bytes = String.new(capacity: length)
    bytes << @io.readpartial(length - bytes.bytesize) while bytes.bytesize < length
    bytes
  end
end
