extension CloseNegotiation.Event {
    /// The event for a peer that broke a rule or exceeded a limit. A peer that exceeds a limit of Culvert's may well
    /// keep RFC 6455, so both sides are told whose message exceeded which limit.
    ///
    /// - Parameters:
    ///   - scanner: of the peer's bytes.
    ///   - code: the close code that the peer has earned.
    ///   - why: the rule that it broke.
    package static func breach(of scanner: FrameScanner, code: CloseCode, why: String) -> CloseNegotiation.Event {
        let sender = scanner.sender
        let whose = sender == .client ? "message of the client" : "message of the upstream"
        let key = sender == .client ? "limits.message.from_client" : "limits.message.from_upstream"
        switch code {
        case .messageTooBig:
            let limit = SizeText.text(scanner.messageLimit)
            return .excess(by: sender, CloseFrame(code: code, reason: "\(whose) exceeds \(key) (\(limit))"))
        case .policyViolation:
            let limit = "limits.session.fragments (\(scanner.fragmentLimit))"
            return .excess(by: sender, CloseFrame(code: code, reason: "\(whose) exceeds \(limit)"))
        default:
            return .violation(by: sender, CloseFrame(code: code, reason: why))
        }
    }
}
