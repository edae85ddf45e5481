// Search in pages opened from a folder, where browsers start no worker: its script runs in a hidden
// frame instead. (The theme would fetch such a shim from a server.)
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inside = frame.contentWindow;
      const load = (src) => new Promise((resolve, reject) => {
        const script = this.inside.document.createElement("script");
        Object.assign(script, {src, onload: resolve, onerror: reject});
        this.inside.document.body.append(script);
      });
      this.inside.importScripts = (...urls) => Promise.all(urls.map((one) => load(new URL(one, url).href)));
      this.inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", {data}));
      this.ready = load(new URL(url, location.href).href);
    }

    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new this.inside.MessageEvent("message", {data})));
    }
  };
}
