// Drives a browser as frameworks for tests do: drive.js pipe|port URL BROWSER OPTION… says what the page's promise
// `everything` gives, and how large a picture of the page is. The port is one of the cell's own loopback.
const {spawn} = require('child_process');
const crypto = require('crypto');
const http = require('http');

const [way, url, browser, ...options] = process.argv.slice(2);
const piped = way === 'pipe';
const child = spawn(browser, [...options, piped ? '--remote-debugging-pipe' : '--remote-debugging-port=0'],
                    {stdio: ['ignore', 'ignore', piped ? 'ignore' : 'pipe', 'pipe', 'pipe']});
child.on('exit', (code, signal) => process.exit(answers.size === 0 && !signal ? code : 9));

// Messages by number, and events by name, that somebody waits for.
const answers = new Map();
const wait = (key) => new Promise((done, fail) => answers.set(key, {done, fail}));
function take(text) {
  const message = JSON.parse(text);
  const key = message.id || message.method;
  const waiting = answers.get(key);
  if (!waiting) return;
  answers.delete(key);
  if (message.error) waiting.fail(new Error(message.error.message));
  else waiting.done(message.result);
}

// A NUL ends a message.
function overPipe() {
  let rest = Buffer.alloc(0);
  child.stdio[4].on('data', (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    for (let end; (end = rest.indexOf(0)) >= 0; rest = rest.subarray(end + 1)) take(rest.subarray(0, end));
  });
  return (text) => child.stdio[3].write(text + '\0');
}

// A WebSocket: frames without a mask come, those with one go.
async function overPort() {
  const at = await new Promise((done) => {
    let said = '';
    child.stdio[2].on('data', (bytes) => {
      said += bytes;
      const found = said.match(/listening on ws:\/\/([\d.]+):(\d+)(\S+)/);
      if (found) done(found);
    });
  });
  const asked = http.get({host: at[1], port: at[2], path: at[3], headers: {
    Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': 13,
    'Sec-WebSocket-Key': crypto.randomBytes(16).toString('base64')}});
  const socket = await new Promise((done, fail) => {
    asked.on('upgrade', (answer, upgraded) => done(upgraded));
    asked.on('error', fail);
  });
  let rest = Buffer.alloc(0);
  socket.on('data', (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    for (;;) {
      if (rest.length < 10) break;
      const kind = rest[1];
      const head = kind < 126 ? 2 : kind === 126 ? 4 : 10;
      const size = kind < 126 ? kind : kind === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2));
      if (rest.length < head + size) break;
      take(rest.subarray(head, head + size));
      rest = rest.subarray(head + size);
    }
  });
  return (text) => {
    const content = Buffer.from(text);
    const head = Buffer.alloc(8);  // the mask is zero
    head[0] = 0x81;
    head[1] = 0x80 | 126;
    head.writeUInt16BE(content.length, 2);
    socket.write(Buffer.concat([head, content]));
  };
}

(async () => {
  const send = piped ? overPipe() : await overPort();
  let number = 0, sessionId;
  const call = (method, params = {}) => {
    send(JSON.stringify({id: ++number, method, params, sessionId}));
    return wait(number);
  };
  const {targetId} = await call('Target.createTarget', {url: 'about:blank'});
  ({sessionId} = await call('Target.attachToTarget', {targetId, flatten: true}));
  await call('Page.enable');
  const loaded = wait('Page.loadEventFired');
  await call('Page.navigate', {url});
  await loaded;
  const {result} = await call('Runtime.evaluate', {expression: 'everything', awaitPromise: true, returnByValue: true});
  console.log(result.value);
  const {data} = await call('Page.captureScreenshot');
  console.log(Buffer.from(data, 'base64').subarray(1, 4).toString());
  sessionId = undefined;
  call('Browser.close').catch(() => {});
  answers.clear();
})().catch((error) => {
  console.log(String(error));
  child.kill();
});
