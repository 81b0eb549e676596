// The parser inside Yams, whose interface has no events: what is bound here has to be, before nodes are made of it.
internal import CYaml

/// Whether a YAML document can be read in a time that its size foretells.
///
/// An alias stands for all that its anchor has. Few lines of aliases of aliases stand for more values than there is
/// time to look at, and a mapping may have such a value for a key, which is hashed.
enum YAMLBounds {
    /// Bytes of a file.
    static let sizeLimit = 16 << 20
    /// Values that all aliases together stand for.
    static let aliasedLimit = 100_000
    /// Bytes of one value, and of one key.
    static let scalarLimit = 64 << 10
    static let keyLimit = 1 << 10

    struct Fault: Error, Equatable {
        /// Both count from 1.
        var line: Int
        var column: Int
        var message: String
    }

    private struct Container {
        var anchor: String?
        /// How many values there were before it.
        var start: Int
        var isMapping: Bool
        /// The next value is a key of the mapping.
        var isAtKey: Bool
        /// The keys of the mapping, as bytes, and their lines.
        var keys: [[UInt8]: Int] = [:]
    }

    /// Goes through the parser's events, and makes nothing of them. Yams explains errors of syntax later.
    static func check(_ yaml: String) throws(Fault) {
        guard yaml.utf8.count <= self.sizeLimit else {
            throw Fault(line: 1, column: 1, message: "more than \(self.sizeLimit >> 20) MiB")
        }
        var yaml = yaml
        let fault: Fault? = yaml.withUTF8 { bytes in
            var parser = yaml_parser_t()
            guard yaml_parser_initialize(&parser) == 1 else { return nil }
            defer { yaml_parser_delete(&parser) }
            yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING)
            yaml_parser_set_input_string(&parser, bytes.baseAddress, bytes.count)
            var walk = Walk()
            while true {
                var event = yaml_event_t()
                guard yaml_parser_parse(&parser, &event) == 1 else { return nil }
                defer { yaml_event_delete(&event) }
                if event.type == YAML_STREAM_END_EVENT { return nil }
                if let message = walk.take(event) {
                    return Fault(
                        line: Int(clamping: event.start_mark.line) + 1,
                        column: Int(clamping: event.start_mark.column) + 1, message: message)
                }
            }
        }
        if let fault { throw fault }
    }

    private struct Walk {
        private var containers: [Container] = []
        private var anchors: [String: Int] = [:]
        private var values = 0
        private var aliased = 0

        /// - Returns: what is wrong.
        mutating func take(_ event: yaml_event_t) -> String? {
            switch event.type {
            case YAML_SCALAR_EVENT:
                let isKey = self.step()
                let text = UnsafeBufferPointer(start: event.data.scalar.value, count: event.data.scalar.length)
                if text.count > (isKey ? keyLimit : scalarLimit) {
                    return "longer than \(isKey ? keyLimit : scalarLimit) bytes"
                }
                // To hash or compare texts takes a time that is quadratic in a run of combining marks.
                if isKey, let first = self.line(ofKey: Array(text), at: event) {
                    return "key given twice: \(String(decoding: text, as: UTF8.self)); line \(first) has it already"
                }
                if text.count > keyLimit, text.contains(where: { $0 >= 0x80 }) {
                    return "longer than \(keyLimit) bytes, and not ASCII alone"
                }
                self.values += 1
                if let anchor = Self.name(event.data.scalar.anchor) { self.anchors[anchor] = 1 }
            case YAML_ALIAS_EVENT:
                let isKey = self.step()
                let size = Self.name(event.data.alias.anchor).flatMap { self.anchors[$0] } ?? 1
                if isKey, size > 1 { return "expected a name for a key" }
                self.values += size
                self.aliased += size
                if self.aliased > aliasedLimit { return "aliases stand for more than \(aliasedLimit) values" }
            case YAML_SEQUENCE_START_EVENT, YAML_MAPPING_START_EVENT:
                if self.step() { return "expected a name for a key" }
                let isMapping = event.type == YAML_MAPPING_START_EVENT
                let anchor = isMapping ? event.data.mapping_start.anchor : event.data.sequence_start.anchor
                self.containers.append(
                    Container(
                        anchor: Self.name(anchor), start: self.values, isMapping: isMapping, isAtKey: isMapping))
                self.values += 1
            case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
                guard let container = self.containers.popLast() else { return nil }
                if let anchor = container.anchor { self.anchors[anchor] = self.values - container.start }
            default: break
            }
            return nil
        }

        /// Keeps a key of the innermost mapping.
        ///
        /// - Returns: the line in which the mapping has the key already.
        private mutating func line(ofKey key: [UInt8], at event: yaml_event_t) -> Int? {
            guard let last = self.containers.indices.last else { return nil }
            if let first = self.containers[last].keys[key] { return first }
            self.containers[last].keys[key] = Int(clamping: event.start_mark.line) + 1
            return nil
        }

        /// - Returns: whether this value is a key.
        private mutating func step() -> Bool {
            guard let last = self.containers.indices.last, self.containers[last].isMapping else { return false }
            defer { self.containers[last].isAtKey.toggle() }
            return self.containers[last].isAtKey
        }

        private static func name(_ text: UnsafeMutablePointer<yaml_char_t>?) -> String? {
            text.map { String(cString: $0) }
        }
    }
}
