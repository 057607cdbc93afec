"use strict";
// Browsers start no workers for pages that are read from a folder: the script of the search runs in a frame instead.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.title = "search";
      this.waiting = [];
      const start = () => {
        document.body.append(frame);
        const inside = frame.contentWindow;
        inside.postMessage = (data) => {
          const event = new MessageEvent("message", { data });
          this.onmessage?.(event);
          this.dispatchEvent(event);
        };
        inside.importScripts = (...names) => Promise.all(names.map((name) => new Promise((done) => {
          const script = inside.document.createElement("script");
          script.src = name;
          script.onload = script.onerror = done;
          inside.document.body.append(script);
        })));
        const script = inside.document.createElement("script");
        script.src = new URL(address, location.href).href;
        script.onload = () => {
          this.inside = inside;
          this.waiting.forEach((data) => this.postMessage(data));
        };
        inside.document.body.append(script);
      };
      if (document.body) start();
      else document.addEventListener("DOMContentLoaded", start);
    }

    postMessage(data) {
      if (this.inside) this.inside.dispatchEvent(new MessageEvent("message", { data }));
      else this.waiting.push(data);
    }

    terminate() {}
  };
}
