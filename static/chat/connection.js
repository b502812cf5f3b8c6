// The socket: always on its way back when it is lost, and it notices when nobody answers.
const PAUSES = [300, 700, 1500, 3000, 6000, 10000];
const PING_MS = 20000;
const PONG_MS = 8000;
export const SIGNED_OUT = 4401;
export const NOT_A_MEMBER = 4403;
export const TENANT_CLOSED = 4423;
export const TOO_MANY = 4429;
const FOR_GOOD = [SIGNED_OUT, NOT_A_MEMBER, TENANT_CLOSED, TOO_MANY];

export class Connection extends EventTarget {
  #url;
  #socket = null;
  #tries = 0;
  #timer = 0;
  #heartbeat = 0;
  #silence = 0;
  #over = false;

  constructor(path) {
    super();
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.#url = `${scheme}//${location.host}${path}`;
    addEventListener("online", () => this.#again());
    addEventListener("offline", () => this.#lost());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#wake();
    });
    addEventListener("pageshow", (event) => event.persisted && this.#again());
    this.#connect();
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  // False when it could not be sent: what must arrive is sent again on "open".
  send(message) {
    if (!this.open) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  end() {
    this.#over = true;
    this.#drop();
  }

  #connect() {
    this.#drop(); // also a socket that is still on its way: it would be one too many
    if (this.#over || !navigator.onLine) return;
    const socket = (this.#socket = new WebSocket(this.#url));
    socket.onopen = () => {
      this.#heartbeat = setInterval(() => this.#ping(), PING_MS);
      this.#tell("open");
    };
    socket.onmessage = ({ data }) => {
      clearTimeout(this.#silence);
      this.#silence = this.#tries = 0;
      const message = JSON.parse(data);
      if (message.type !== "pong") this.#tell("message", message);
    };
    socket.onclose = ({ code }) => {
      if (socket === this.#socket) this.#lost(code);
    };
  }

  #lost(code = 1006) {
    if (this.#over) return;
    this.#drop();
    if (FOR_GOOD.includes(code)) this.#over = true;
    this.#tell("lost", { code, online: navigator.onLine });
    if (this.#over) return;
    const pause = PAUSES[Math.min(this.#tries++, PAUSES.length - 1)];
    this.#timer = setTimeout(() => this.#connect(), pause * (0.75 + Math.random() / 2));
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    clearTimeout(this.#timer);
    clearInterval(this.#heartbeat);
    clearTimeout(this.#silence);
    this.#silence = 0;
    if (!socket) return;
    socket.onmessage = socket.onopen = socket.onclose = null;
    socket.close();
  }

  #again() {
    this.#tries = 0;
    if (!this.open && !this.#over) this.#connect();
  }

  #wake() {
    if (this.open) this.#ping();
    else this.#again();
    this.#tell("wake");
  }

  #ping() {
    if (!this.send({ type: "ping" }) || this.#silence) return;
    this.#silence = setTimeout(() => this.#lost(), PONG_MS);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
