// SPDX-License-Identifier: Apache-2.0
// What people's tools do over the network works unchanged in a cell: they ask for a name, connect,
// check a certificate, fetch. The server is a mirror of every kind of package outside; it says who
// asked for what.
#include <gmock/gmock.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "tests/support/name_server.h"
#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr char kMirror[] = "mirror.example.com";

class EgressClientsTest : public Sandbox {
 protected:
  void SetUp() override {
    Sandbox::SetUp();
    const Outcome made =
        Bare({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
              "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=mirror",
              "-addext", "subjectAltName=DNS:" + std::string(kMirror), "-keyout", Path("key.pem"),
              "-out", Work("ca.pem")});
    ASSERT_EQ(made.status, 0) << made;
    Command command{.argv = {"python3", Data("mirror.py"), Path("mirror"), Work("ca.pem"),
                             Path("key.pem"), "https://" + std::string(kMirror) + ":%d"},
                    .environment = InheritedEnvironment()};
    command.environment["HOME"] = Path("");
    mirror_ = std::make_unique<Process>(std::move(command));
    ASSERT_TRUE(mirror_->WaitForOutput("\n")) << mirror_->err();
    port_ = mirror_->out().substr(std::string("port ").size());
    port_.erase(port_.find('\n'));
    url_ = "https://" + std::string(kMirror) + ":" + port_;
  }
  void TearDown() override {
    mirror_.reset();
    Sandbox::TearDown();
  }
  // The name alone is let out, and the CA is given as people give it.
  Options Letting(const std::string& environment = "") {
    return LettingTo(std::string(kMirror) + ", ports: [" + port_ + "]", environment);
  }
  // `to`: a rule's destination. The address of the mirror is one of this machine: it wants a rule
  // of its own.
  Options LettingTo(const std::string& to, const std::string& environment = "",
                    const std::string& more = "") {
    return {.profile = WriteProfile(
                "cellrun: 1\nname: clients\ncommands: {default: allow}\nnetwork:\n"
                "  dns: {upstream: \"" +
                names_.address() + "\"}\n  rules:\n    - {to: " + to +
                ", then: allow}\n    - {to: 127.0.0.1, ports: [" + port_ +
                "], then: allow}\nenvironment:\n  set: {" + environment + "}\n" + more),
            .time_limit = std::chrono::seconds(100)};
  }
  [[nodiscard]] std::string CargoSources() const {
    return "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = \"" + url_ +
           "/cargo/index.git\"\n[http]\ncainfo = \"" + Ca() + "\"\n";
  }
  std::string Ca() const { return Work("ca.pem"); }
  bool Served(const std::string& path) {
    return mirror_->WaitForOutput(std::string(kMirror) + " " + path + "\n");
  }

  NameServer names_{{{kMirror, {"127.0.0.1"}}}};
  std::unique_ptr<Process> mirror_;
  std::string port_, url_;
};

TEST_F(EgressClientsTest, CurlAndWget) {
  const Options options = Letting("SSL_CERT_FILE: " + Ca());
  const Outcome curl = Run({"curl", "-sS", url_ + "/hello"}, options);
  EXPECT_EQ(curl.out, "hello\n") << curl;
  const Outcome four = Run({"curl", "-4sS", "-w", "%{remote_ip}", url_ + "/hello"}, options);
  EXPECT_THAT(four.out, StartsWith("hello\n198.1")) << four;
  const Outcome six = Run({"curl", "-6sS", "-w", "%{remote_ip}", url_ + "/hello"}, options);
  EXPECT_THAT(six.out, StartsWith("hello\nfd63:656c:6c")) << six;
  const Outcome several =
      Run({"curl", "-sS", "-Z", url_ + "/hello", url_ + "/hello", url_ + "/hello"}, options);
  EXPECT_EQ(several.out, "hello\nhello\nhello\n") << several;
  const Outcome wget = Run({"wget", "-qO-", "--ca-certificate=" + Ca(), url_ + "/hello"}, options);
  EXPECT_EQ(wget.out, "hello\n") << wget;
  // The certificate is the server's own: nothing stands in between.
  const Outcome strange = Run({"curl", "-sS", "--cacert", "/dev/null", url_ + "/hello"}, options);
  EXPECT_EQ(strange.status, 77) << strange;
  const Outcome other = Run({"curl", "-sS", "https://evil.example.com/"}, options);
  EXPECT_EQ(other.status, 6) << other << "the name does not exist";
  const Outcome literal = Run({"curl", "-sS", "https://203.0.113.9/"}, options);
  EXPECT_EQ(literal.status, 7) << literal << "it cannot be connected to";
  EXPECT_THAT(names_.asked(), ElementsAre(kMirror));
}

// The name may be asked for, and leads to where no rule lets it: whoever waits for the connect and
// whoever does not read why, and what would open it.
TEST_F(EgressClientsTest, ANameThatLeadsInwardsIsADenialWithTheRuleThatWouldLetItOut) {
  const std::string profile = WriteProfile(
      "cellrun: 1\nname: inwards\ncommands: {default: allow}\nnetwork:\n  dns: {upstream: \"" +
      names_.address() + "\"}\n  rules:\n    - {to: " + kMirror + ", then: allow}\n");
  const Outcome outcome =
      Shell("python3 -c 'import socket; print(socket.socket().connect_ex((\"" +
                std::string(kMirror) + "\", " + port_ + ")))'; curl -sk " + url_ +
                "; for i in {1..100}; do [ $(wc -l < $CELLRUN_DENIALS) -ge 2 ] && break; sleep "
                "0.1; done\n"
                "cat $CELLRUN_DENIALS",
            {.profile = profile});
  EXPECT_THAT(outcome.out, StartsWith("13\n")) << outcome;
  const std::string fix = "`- {to: \\\"127.0.0.1\\\", ports: [" + port_ + "], then: allow}` would";
  const std::size_t first = outcome.out.find(fix);
  ASSERT_NE(first, std::string::npos) << outcome;
  EXPECT_NE(outcome.out.find(fix, first + 1), std::string::npos) << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("\"name\":\"mirror.example.com\"")) << outcome;
  EXPECT_EQ(Run({"curl", "-sk", url_ + "/hello"}, Letting()).out, "hello\n")
      << "a profile with that rule";
}

TEST_F(EgressClientsTest, Git) {
  const Outcome clone =
      Shell("git clone -q " + url_ + "/dep.git copy && cat copy/answer && git -C copy fetch",
            Letting("GIT_SSL_CAINFO: " + Ca()));
  EXPECT_EQ(clone.status, 0) << clone;
  EXPECT_EQ(clone.out, "42\n");
  EXPECT_TRUE(Served("/dep.git/info/refs?service=git-upload-pack"));
}

TEST_F(EgressClientsTest, Npm) {
  Write(Work("package.json"), R"({"name":"app","version":"1.0.0"})");
  Write(Work(".npmrc"), "registry=" + url_ + "/npm/\ncafile=" + Ca() +
                            "\naudit=false\nfund=false\nupdate-notifier=false\n");
  const Outcome outcome = Shell("npm install -s dep && node -p \"require('dep')\"", Letting());
  EXPECT_EQ(outcome.out, "42\n") << outcome;
  EXPECT_TRUE(Served("/npm/files/dep-1.0.0.tgz"));
}

TEST_F(EgressClientsTest, Pip) {
  const Outcome outcome = Shell(
      "/usr/bin/pip3 install -q --disable-pip-version-check --no-cache-dir --target lib dep "
      "&& PYTHONPATH=lib python3 -c 'import dep; print(dep.answer)'",
      Letting("PIP_INDEX_URL: \"" + url_ + "/pip/simple\", PIP_CERT: " + Ca()));
  EXPECT_EQ(outcome.out, "42\n") << outcome;
  EXPECT_TRUE(Served("/pip/files/dep-1.0.0-py3-none-any.whl"));
}

TEST_F(EgressClientsTest, Apt) {
  Write(Work("sources"), "deb [trusted=yes] " + url_ + "/apt stable main\n");
  Write(Work("apt.conf"), "Dir::State \"" + Work("state") + "\";\nDir::Cache \"" + Work("cache") +
                              "\";\nDir::Etc::SourceList \"" + Work("sources") +
                              "\";\nDir::Etc::SourceParts \"-\";\nDir::State::Status \"" +
                              Work("status") + "\";\nAcquire::https::CaInfo \"" + Ca() +
                              "\";\nAPT::Sandbox::User \"\";\n");
  Write(Work("status"), "");
  const Outcome outcome = Shell(
      "mkdir -p state/lists/partial cache/archives/partial && apt-get -qq update && apt-get -qq "
      "download dep && dpkg-deb --fsys-tarfile dep_1.0.0_all.deb | tar -xO ./usr/share/dep",
      Letting("APT_CONFIG: " + Work("apt.conf")));
  EXPECT_EQ(outcome.out, "42\n") << outcome;
  EXPECT_TRUE(Served("/apt/pool/dep.deb"));
}

constexpr char kCargosPackage[] =
    "[package]\nname = \"app\"\nversion = \"1.0.0\"\n[dependencies]\ndep = \"1.0.0\"\n";

// Debian's knows indexes in git only, and has a git of its own.
TEST_F(EgressClientsTest, Cargo) {
  Write(Work("Cargo.toml"), kCargosPackage);
  Write(Work("src/main.rs"), "fn main() { println!(\"{}\", dep::ANSWER); }\n");
  Write(Work(".cargo/config.toml"), CargoSources());
  const std::string run = "/usr/bin/cargo run -q 2>&1";
  const Outcome outcome = Shell(run, Letting());
  EXPECT_EQ(outcome.out, "42\n") << outcome;
  EXPECT_TRUE(Served("/cargo/files/dep-1.0.0.crate"));
}

// The sources that the host's own configuration names, which no profile does.
TEST_F(EgressClientsTest, CargoByTheGroupOfItsSources) {
  Write(Work("Cargo.toml"), kCargosPackage);
  Write(Work("src/lib.rs"), "");
  Write(Home(".cargo/config.toml"), CargoSources());
  const std::string fetch =
      "/usr/bin/cargo fetch -q 2>&1; ls ~/.cargo/registry/src/*/dep-1.0.0/src";
  const std::string files = "filesystem:\n  read: [~/.cargo/config.toml]\n";
  const Outcome outcome = Shell(fetch, LettingTo("\"@cargo\"", "", files));
  EXPECT_EQ(outcome.out, "lib.rs\n") << outcome;
  EXPECT_TRUE(Served("/cargo/files/dep-1.0.0.crate"));
  const Outcome other = Shell(fetch, LettingTo("\"@npm\"", "", files));
  EXPECT_THAT(other.out, HasSubstr("failed to")) << other;
  EXPECT_NE(other.status, 0) << other;
}

TEST_F(EgressClientsTest, Go) {
  Write(Work("go.mod"), "module example.com/app\n\ngo 1.19\n");
  const Outcome outcome =
      Shell("go mod download example.com/dep@v1.0.0 && cat " + Work("go/pkg/mod") +
                "/example.com/dep@v1.0.0/dep.go; chmod -R u+w go",
            Letting("GOPROXY: \"" + url_ + "/go\", GOSUMDB: \"off\", GOFLAGS: -mod=mod, GOPATH: " +
                    Work("go") + ", SSL_CERT_FILE: " + Ca()));
  EXPECT_THAT(outcome.out, HasSubstr("const Answer = 42")) << outcome;
  EXPECT_TRUE(Served("/go/example.com/dep/@v/v1.0.0.zip"));
}

TEST_F(EgressClientsTest, NodesFetch) {
  const Outcome outcome =
      Run({"node", "-e",
           "const url = '" + url_ +
               "/hello';\n"
               "Promise.all(Array.from({length: 20}, () => fetch(url).then((r) => r.text())))\n"
               "  .then((all) => console.log(all.length, all.every((t) => t === 'hello\\n')))\n"
               "  .then(() => fetch('https://evil.example.com'))\n"
               "  .catch((e) => console.log(e.cause.code));\n"},
          Letting("NODE_EXTRA_CA_CERTS: " + Ca()));
  EXPECT_EQ(outcome.out, "20 true\nENOTFOUND\n") << outcome;
}

TEST_F(EgressClientsTest, PythonWithAndWithoutAnEventLoop) {
  Write(Work("fetch.py"),
        "import asyncio, requests, ssl, sys, urllib.request\n"
        "url, host, port = sys.argv[1:]\n"
        "print(urllib.request.urlopen(url).read().decode(), end='')\n"
        "with requests.Session() as session:\n"
        "  print(session.get(url).text, end='')\n"
        "  print({session.get(url).ok for _ in range(20)})\n"
        "try: requests.get('https://evil.example.com/')\n"
        "except requests.ConnectionError as error: print('not known' in str(error))\n"
        "async def fetch():\n"
        "  reader, writer = await asyncio.open_connection(host, int(port),\n"
        "                                                 ssl=ssl.create_default_context())\n"
        "  writer.write(b'GET /hello HTTP/1.0\\r\\nHost: ' + host.encode() + b'\\r\\n\\r\\n')\n"
        "  return (await reader.read()).endswith(b'hello\\n')\n"
        "async def all(): return await asyncio.gather(*(fetch() for _ in range(20)))\n"
        "print(set(asyncio.run(all())))\n");
  const Outcome outcome = Run({"python3", "fetch.py", url_ + "/hello", kMirror, port_},
                              Letting("SSL_CERT_FILE: " + Ca() + ", REQUESTS_CA_BUNDLE: " + Ca()));
  EXPECT_EQ(outcome.out, "hello\nhello\n{True}\nTrue\n{True}\n") << outcome;
}

// Where there is one: a compiler is what a test needs.
TEST_F(EgressClientsTest, JavaIfItIsThere) {
  if (access("/usr/bin/javac", X_OK) != 0) return;
  Write(Work("Fetch.java"),
        "import java.net.*; import java.net.http.*; import javax.net.ssl.*; import java.io.*;\n"
        "import java.security.*; import java.security.cert.*;\n"
        "public class Fetch { public static void main(String[] a) throws Exception {\n"
        "  KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType()); store.load(null);\n"
        "  store.setCertificateEntry(\"ca\", CertificateFactory.getInstance(\"X.509\")\n"
        "      .generateCertificate(new FileInputStream(\"ca.pem\")));\n"
        "  TrustManagerFactory trust = TrustManagerFactory.getInstance(\n"
        "      TrustManagerFactory.getDefaultAlgorithm()); trust.init(store);\n"
        "  SSLContext context = SSLContext.getInstance(\"TLS\");\n"
        "  context.init(null, trust.getTrustManagers(), null);\n"
        "  System.out.print(HttpClient.newBuilder().sslContext(context).build().send(\n"
        "      HttpRequest.newBuilder(URI.create(a[0])).build(),\n"
        "      HttpResponse.BodyHandlers.ofString()).body());\n"
        "  try { InetAddress.getByName(\"evil.example.com\"); }\n"
        "  catch (UnknownHostException e) { System.out.println(\"unknown\"); } } }\n");
  const Outcome outcome = Run({"java", "Fetch.java", url_ + "/hello"}, Letting());
  EXPECT_EQ(outcome.out, "hello\nunknown\n") << outcome;
}

// musl has a resolver of its own, which asks for both families over one socket.
TEST_F(EgressClientsTest, AStaticProgramOfMusl) {
  Write(Work("ask.c"),
        "#include <netdb.h>\n#include <stdio.h>\n#include <sys/socket.h>\n#include <unistd.h>\n"
        "int main(int n, char** a) {\n"
        "  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;\n"
        "  int code = getaddrinfo(a[1], a[2], &hints, &found);\n"
        "  if (code) return printf(\"%s\\n\", gai_strerror(code)), 0;\n"
        "  int families = 0;\n"
        "  for (struct addrinfo* i = found; i; i = i->ai_next) {\n"
        "    int s = socket(i->ai_family, SOCK_STREAM, 0);\n"
        "    families += connect(s, i->ai_addr, i->ai_addrlen) == 0;\n"
        "    close(s);\n"
        "  }\n"
        "  printf(\"%d\\n\", families);\n"
        "}\n");
  const Outcome built = Bare({"musl-gcc", "-static", "-o", "ask", "ask.c"});
  ASSERT_EQ(built.status, 0) << built;
  const Options options = Letting();
  EXPECT_EQ(Run({"./ask", kMirror, port_}, options).out, "2\n");
  const Outcome other = Run({"./ask", "evil.example.com", port_}, options);
  EXPECT_THAT(other.out, HasSubstr("Name does not resolve")) << other;
}

TEST_F(EgressClientsTest, Dig) {
  const Outcome outcome = Shell(
      "dig +short mirror.example.com A; dig +short +tcp mirror.example.com AAAA\n"
      "dig +short -x 198.18.1.0; dig +short mirror.example.com HTTPS; dig +short "
      "MIRROR.example.com\n"
      "dig evil.example.com | grep -o 'status: [A-Z]*'; dig +noedns mirror.example.com MX | grep "
      "-o "
      "'status: [A-Z]*'",
      Letting());
  EXPECT_EQ(outcome.out,
            "198.18.1.0\nfd63:656c:6c00::c612:100\nmirror.example.com.\n198.18.1.0\n"
            "status: NXDOMAIN\nstatus: NOERROR\n")
      << outcome;
  EXPECT_THAT(names_.asked(), IsEmpty()) << "nothing was connected to";
}

}  // namespace
}  // namespace cellrun::test
