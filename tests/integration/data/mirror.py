# Package sources of every kind on one port of 127.0.0.1, over TLS: mirror.py DIRECTORY CERTIFICATE KEY URL, where URL
# has a %d for the port. Each has a package `dep`, version 1.0.0. Says the port, and then each path that is asked for.
import base64
import gzip
import hashlib
import http.server
import io
import json
import os
import ssl
import subprocess
import sys
import tarfile
import zipfile

root, certificate, key, url = sys.argv[1:]


def write(path, content):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    return path


def archive(files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()


def zipped(files):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, text in files.items():
            file.writestr(name, text)
    return made.getvalue()


def npm(base):
    manifest = {"name": "dep", "version": "1.0.0", "main": "index.js"}
    package = archive({"package/package.json": json.dumps(manifest), "package/index.js": "module.exports = 42;\n"})
    write("npm/files/dep-1.0.0.tgz", package)
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()
    manifest["dist"] = {"tarball": base + "/npm/files/dep-1.0.0.tgz", "integrity": integrity}
    write("npm/dep", json.dumps({"name": "dep", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": manifest}}))


def pip():
    info = "dep-1.0.0.dist-info/"
    write("pip/files/dep-1.0.0-py3-none-any.whl", zipped({
        "dep.py": "answer = 42\n",
        info + "METADATA": "Metadata-Version: 2.1\nName: dep\nVersion: 1.0.0\n",
        info + "WHEEL": "Wheel-Version: 1.0\nGenerator: mirror\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        info + "RECORD": "dep.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n",
    }))
    write("pip/simple/dep/index.html", '<a href="../../files/dep-1.0.0-py3-none-any.whl">dep-1.0.0-py3-none-any.whl</a>')


def go():
    module = "module example.com/dep\n\ngo 1.19\n"
    at = "go/example.com/dep/@v/"
    write(at + "list", "v1.0.0\n")
    write(at + "v1.0.0.info", json.dumps({"Version": "v1.0.0", "Time": "2020-01-01T00:00:00Z"}))
    write(at + "v1.0.0.mod", module)
    inside = "example.com/dep@v1.0.0/"
    write(at + "v1.0.0.zip", zipped({inside + "go.mod": module, inside + "dep.go": "package dep\n\nconst Answer = 42\n"}))


def apt():
    control = "Package: dep\nVersion: 1.0.0\nArchitecture: all\nMaintainer: A <a@example.com>\nDescription: dep\n"
    write("deb/DEBIAN/control", control)
    write("deb/usr/share/dep", "42\n")
    package = write("apt/pool/dep.deb", "")
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", os.path.join(root, "deb"), package], check=True,
                   stdout=subprocess.DEVNULL)
    with open(package, "rb") as file:
        content = file.read()
    digest = hashlib.sha256(content).hexdigest()
    packages = (control + f"Filename: pool/dep.deb\nSize: {len(content)}\nSHA256: {digest}\n").encode()
    sums = ""
    for name, index in {"Packages": packages, "Packages.gz": gzip.compress(packages)}.items():
        for which in ("all", "amd64"):
            write(f"apt/dists/stable/main/binary-{which}/{name}", index)
            sums += f" {hashlib.sha256(index).hexdigest()} {len(index)} main/binary-{which}/{name}\n"
    write("apt/dists/stable/Release", "Suite: stable\nCodename: stable\nComponents: main\nArchitectures: all amd64\n"
          "Date: Thu, 01 Jan 2020 00:00:00 UTC\nSHA256:\n" + sums)


def repository(name, files):
    work, bare = os.path.join(root, name + ".work"), os.path.join(root, name + ".git")
    for path, text in files.items():
        write(os.path.join(work, path), text)
    run = ["git", "-C", work, "-c", "user.name=A", "-c", "user.email=a@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(run + words, check=True)
    subprocess.run(["git", "clone", "-q", "--bare", work, bare], check=True)
    subprocess.run(["git", "-C", bare, "update-server-info"], check=True)


def cargo(base):
    crate = archive({"dep-1.0.0/Cargo.toml": '[package]\nname = "dep"\nversion = "1.0.0"\n',
                     "dep-1.0.0/src/lib.rs": "pub const ANSWER: u8 = 42;\n"})
    write("cargo/files/dep-1.0.0.crate", crate)
    entry = {"name": "dep", "vers": "1.0.0", "deps": [], "cksum": hashlib.sha256(crate).hexdigest(), "features": {},
             "yanked": False}
    repository("cargo/index", {"config.json": json.dumps({"dl": base + "/cargo/files/{crate}-{version}.crate"}),
                               "3/d/dep": json.dumps(entry) + "\n"})


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments):
        super().__init__(*arguments, directory=root)

    # cargo's git speaks only what a server answers that knows git.
    def by_git(self, body=b""):
        path, _, query = self.path.partition("?")
        asked = {"GIT_PROJECT_ROOT": root, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
                 "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                 "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""), "CONTENT_LENGTH": str(len(body))}
        answer = subprocess.run(["git", "http-backend"], input=body, stdout=subprocess.PIPE, check=True,
                                env={**os.environ, **asked}).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().splitlines():
            self.send_header(*line.split(": ", 1))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        if self.path.startswith("/cargo/index.git/"):
            self.by_git()
        else:
            super().do_GET()

    def do_POST(self):
        self.by_git(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, form, *arguments):
        print(self.headers["Host"].split(":")[0], self.path, flush=True)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
base = url % server.server_address[1]
write("hello", "hello\n")
npm(base)
pip()
go()
cargo(base)
apt()
repository("dep", {"answer": "42\n"})
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print("port", server.server_address[1], flush=True)
server.serve_forever()
