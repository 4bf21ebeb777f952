// Search in a folder that is opened without a server. Browsers refuse workers there, so the same script runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      this.frame = new Promise(ready => {
        frame.addEventListener("load", () => {
          const inside = frame.contentWindow
          inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
          const script = frame.contentDocument.createElement("script")
          script.src = address
          script.addEventListener("load", () => ready(inside))
          frame.contentDocument.head.append(script)
        }, { once: true })
      })
      document.body.append(frame)
    }

    postMessage(data) {
      this.frame.then(inside => inside.dispatchEvent(new MessageEvent("message", { data })))
    }
  }
}
