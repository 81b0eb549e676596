import CulvertCore
import NIOHTTP1

/// The files that the edge serves without asking the gate: the pages of the demo, and the browser client.
struct ServedFiles {
    /// By path.
    let pages: [String: StaticFile]
    /// Nil when the browser client is not served.
    let client: ClientFiles?

    /// Nil for a path that is none of theirs.
    func answer(path: String, _ head: HTTPRequestHead) -> HTTPAnswer? {
        self.pages.first { path.equals($0.key) }?.value.answer(method: head.method, headers: head.headers)
            ?? self.client?.answer(path: path, method: head.method, headers: head.headers)
    }
}
