// A page that is read as a file may not start a worker. The search then runs in a hidden frame that behaves like one.
if (location.protocol === "file:")
  window.Worker = class extends EventTarget {
    constructor(script) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      // In the frame, postMessage answers the page; `deliver` is what the page sends by.
      this.frame.srcdoc = `<script>
          self.deliver = self.postMessage.bind(self);
          self.postMessage = data => parent.postMessage(data, "*");
          self.importScripts = (...scripts) => scripts.forEach(one => document.write("<script src='" + one + "'><\\/script>"));
        </script><script src="${script}"></script>`;
      this.frame.onload = () => {
        this.waiting.forEach(data => this.frame.contentWindow.deliver(data, "*"));
        this.waiting = null;
      };
      addEventListener("message", event => {
        if (event.source === this.frame.contentWindow)
          this.dispatchEvent(new MessageEvent("message", { data: event.data }));
      });
      document.documentElement.append(this.frame);
    }

    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.frame.contentWindow.deliver(data, "*");
    }
  };
