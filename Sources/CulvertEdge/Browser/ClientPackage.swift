package import NIOCore

/// The browser client as a package that npm installs from a folder, for bundlers and TypeScript.
package struct ClientPackage: Sendable {
    /// The name by which pages import it, with a bundler or with the import map that `culvert client` prints.
    package static let name = "culvert"

    /// Its files. `package.json` is the last: it makes the folder a package.
    package let files: [(name: String, bytes: ByteBuffer)]

    /// - Parameter version: a version of npm's kind, such as `1.2.3`.
    package init(_ client: BrowserClient, version: String) {
        self.files = [
            ("culvert.js", client.module.body),
            ("culvert.d.ts", client.types.body),
            ("README.md", ByteBuffer(string: Self.readme(version))),
            ("package.json", ByteBuffer(string: Self.manifest(version))),
        ]
    }

    /// It is private, so that it is not published by accident: in npm's public registry the name is not Culvert's.
    /// `main` and `types` are for tools that do not know `exports` yet.
    private static func manifest(_ version: String) -> String {
        """
        {
          "name": "\(self.name)",
          "version": "\(version)",
          "description": "The browser client of the Culvert WebSocket edge",
          "license": "Apache-2.0",
          "private": true,
          "type": "module",
          "sideEffects": false,
          "exports": {
            ".": { "types": "./culvert.d.ts", "default": "./culvert.js" },
            "./package.json": "./package.json"
          },
          "main": "./culvert.js",
          "types": "./culvert.d.ts"
        }

        """
    }

    private static func readme(_ version: String) -> String {
        """
        # culvert

        The browser client of the Culvert WebSocket edge. `culvert client --npm` of Culvert \(version) has written it.

        ```js
        import { CulvertSocket } from "\(self.name)";

        const socket = new CulvertSocket("wss://edge.example/chat", [], { token });
        // Or for code that makes its WebSockets itself:
        globalThis.WebSocket = CulvertSocket.with({ token });
        ```

        """
    }
}
