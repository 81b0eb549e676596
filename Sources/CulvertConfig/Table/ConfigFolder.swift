/// The folder of the configuration. Relative paths of files begin here.
struct ConfigFolder {
    let path: String

    func resolve(_ path: String) -> String {
        path.hasPrefix("/") || self.path.isEmpty ? path : self.path + "/" + path
    }

    /// Reads the path of a file that has to be there.
    func file(_ node: ConfigNode) -> String? {
        guard let text = node.string() else { return nil }
        if text.isEmpty { node.fail("expected the path of a file") }
        node.keepPlace()
        return self.resolve(text)
    }

    /// Gives the path of a Unix socket, whose text `node` has.
    func socket(_ text: String, _ node: ConfigNode) -> String {
        node.keepPlace()
        let path = self.resolve(text)
        // sun_path of unix(7), with its zero at the end.
        if text.isEmpty || path.utf8.count > 107 { node.fail("expected the path of a socket, of at most 107 bytes") }
        return path
    }
}
