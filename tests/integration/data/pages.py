# A web site on one port of 127.0.0.1: a page that asks for more of it, once by a WebSocket, and of a host that is not
# its own. Says the port, and then who is asked for what.
import base64
import hashlib
import http.server

PAGE = b"""<!doctype html><html><head><title>page</title></head><body><p id="said"></p><script>
const first = new XMLHttpRequest();
first.open("GET", "/data", false);
first.send();
document.getElementById("said").textContent = first.responseText;
const socket = () => new Promise((done, fail) => {
  const opened = new WebSocket(`ws://${location.host}/socket`);
  opened.onopen = () => opened.send("echo");
  opened.onmessage = (message) => done(message.data);
  opened.onerror = fail;
});
const everything = (async () => {
  const said = await fetch("/data").then((answer) => answer.text());
  const several = await Promise.all(Array.from({length: 20}, () => fetch("/data").then((answer) => answer.ok)));
  const echoed = await socket();
  const other = await fetch("http://evil.example.com/").catch((error) => error.name);
  return [said, several.every((ok) => ok), echoed, other].join(" ");
})();
</script><img src="http://evil.example.com/x.png" onerror="document.body.className = 'refused'">
</body></html>
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/socket":
            return self.echo()
        content = {"/": PAGE, "/data": b"data"}.get(self.path, b"")
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    # One message of at most 125 bytes.
    def echo(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        _, size = self.rfile.read(2)
        mask = self.rfile.read(4)
        content = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(size & 127)))
        self.wfile.write(bytes([0x81, len(content)]) + content)
        self.rfile.read(1)
        self.close_connection = True

    def log_message(self, form, *arguments):
        print(self.headers["Host"].split(":")[0], self.path, flush=True)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("port", server.server_address[1], flush=True)
server.serve_forever()
