/// The page of the demo: the same backend over a native WebSocket and over long-polling, side by side.
package enum DemoPage {
    /// The whole page as HTML in UTF-8. It loads nothing from anywhere.
    ///
    /// `?path=/echo` in its address talks to another path than `/chat`.
    ///
    /// - Parameter token: the bearer token the page connects with. It is part of the page: whoever may read the page
    ///   may connect, so serve it in a demo only.
    package static func html(token: String) -> String {
        head + style + markup + "<script>\nconst token = \(scriptString(token));\n" + DemoPageScript.text
            + "</script>\n</body>\n</html>\n"
    }

    /// A JavaScript string literal that is safe within a `script` element: neither `</script` nor `<!--` can occur.
    package static func scriptString(_ text: String) -> String {
        var literal = "\""
        for unit in text.utf16 {
            switch unit {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E:
                literal.unicodeScalars.append(Unicode.Scalar(UInt8(truncatingIfNeeded: unit)))
            default:
                let digits = String(unit, radix: 16)
                literal += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
            }
        }
        return literal + "\""
    }

    private static let head = #"""
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="referrer" content="no-referrer">
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline';
          style-src 'unsafe-inline'; connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'">
        <link rel="icon" href="data:,">
        <title>Culvert demo</title>

        """#

    private static let style = #"""
        <style>
        :root {
          color-scheme: light dark;
          --page: light-dark(#f6f7f8, #14171a);
          --card: light-dark(#ffffff, #1d2125);
          --ink: light-dark(#1b1f23, #e6e9ec);
          --soft: light-dark(#5a646e, #9aa5b1);
          --line: light-dark(#d5dade, #353c43);
          --good: light-dark(#116d3b, #5fd08e);
          --bad: light-dark(#a8261c, #ff8a7d);
          --accent: light-dark(#0b5cad, #7ab8f5);
        }
        * { box-sizing: border-box; }
        body { margin: 0 auto; padding: 1rem; max-width: 75rem; min-height: 100vh; display: flex;
          flex-direction: column; gap: 1rem; background: var(--page); color: var(--ink);
          font: 1rem/1.5 system-ui, sans-serif; }
        h1 { font-size: 1.25rem; margin: 0; }
        h2 { font-size: 1rem; margin: 0; }
        header p { margin: .25rem 0 0; color: var(--soft); }
        main { flex: 1; display: grid; gap: 1rem;
          grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
        section { display: flex; flex-direction: column; gap: .5rem; min-width: 0; padding: 1rem;
          background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
        .bar { display: flex; align-items: baseline; justify-content: space-between; gap: .5rem; flex-wrap: wrap; }
        .state { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
        .state output { color: var(--bad); font-weight: 600; }
        .state output[data-state=open] { color: var(--good); }
        ol { flex: 1; margin: 0; padding: .5rem; list-style: none; overflow-y: auto; height: 16rem; min-height: 12rem;
          border: 1px solid var(--line); border-radius: .25rem; font: .875rem/1.5 ui-monospace, monospace; }
        li { overflow-wrap: anywhere; white-space: pre-wrap; }
        li.note { color: var(--soft); }
        form { display: flex; gap: .5rem; }
        input { flex: 1; min-width: 0; }
        input, button, select { font: inherit; color: inherit; padding: .375rem .625rem; background: var(--card);
          border: 1px solid var(--line); border-radius: .25rem; }
        button { cursor: pointer; color: var(--accent); }
        button:disabled, input:disabled { opacity: .5; cursor: default; }
        :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
        </style>
        </head>

        """#

    private static let markup = #"""
        <body>
        <header class="bar">
        <div>
        <h1>Culvert demo</h1>
        <p>One WebSocket backend, two ways to it. What you say on one side arrives on the other.</p>
        </div>
        <label>Path <select id="path"><option>/chat</option><option>/echo</option></select></label>
        </header>
        <main>
        <section aria-labelledby="ws-title">
        <div class="bar"><h2 id="ws-title">WebSocket</h2><button id="ws-toggle" type="button">Connect</button></div>
        <p class="state"><output id="ws-state">closed</output> <span id="ws-detail"></span></p>
        <ol id="ws-log" role="log" tabindex="0" aria-label="Messages over WebSocket"></ol>
        <form id="ws-form">
        <input id="ws-input" aria-label="Message" placeholder="Message" autocomplete="off" disabled>
        <button id="ws-send" disabled>Send</button></form>
        </section>
        <section aria-labelledby="poll-title">
        <div class="bar"><h2 id="poll-title">Long-polling</h2>
        <button id="poll-toggle" type="button">Connect</button></div>
        <p class="state"><output id="poll-state">closed</output> <span id="poll-detail"></span></p>
        <ol id="poll-log" role="log" tabindex="0" aria-label="Messages over long-polling"></ol>
        <form id="poll-form">
        <input id="poll-input" aria-label="Message" placeholder="Message" autocomplete="off" disabled>
        <button id="poll-send" disabled>Send</button></form>
        </section>
        </main>

        """#
}
