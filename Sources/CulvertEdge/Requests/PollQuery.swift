import CulvertCore

/// The query of a request of an open session.
struct PollQuery {
    /// Without the token; nil where there is none.
    let text: String?

    private func parameter(_ name: String) -> String? {
        guard let text = self.text, let raw = Query.rawValue(of: name, in: text) else { return nil }
        return PercentEncoding.decode(raw, isForm: true) ?? String(raw)
    }

    func number(_ name: String) throws(PollProblem) -> UInt64? {
        guard let text = self.parameter(name) else { return nil }
        guard let number = text.decimal(as: UInt64.self) else {
            throw PollProblem(400, "\(name) is not a sequence number.")
        }
        return number
    }

    func closeFrame() throws(PollProblem) -> CloseFrame {
        var code = CloseCode.normal
        if let text = self.parameter("code") {
            guard let number = text.decimal(as: UInt16.self) else {
                throw PollProblem(400, "code is not a close code.")
            }
            code = CloseCode(rawValue: number)
        }
        return try PollCodec.checkClose(CloseFrame(code: code, reason: self.parameter("reason") ?? ""))
    }
}
