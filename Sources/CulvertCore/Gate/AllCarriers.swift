/// The carriers of `authentication` and of all routes together. A browser sends the cookie of one route on every other
/// route of the host, where the token in it must reach no upstream. Made once for each configuration.
struct AllCarriers: Equatable, Sendable {
    private(set) var queryParameters: [String] = []
    private(set) var cookies: [String] = []
    private(set) var authorization = false
    private(set) var subprotocol = false

    init(_ carriers: some Sequence<CarrierNames>) {
        for names in carriers {
            if let name = names.queryParameter, !self.queryParameters.contains(bytesEqualTo: name) {
                self.queryParameters.append(name)
            }
            if let name = names.cookie, !self.cookies.contains(bytesEqualTo: name) { self.cookies.append(name) }
            self.authorization = self.authorization || names.authorization
            self.subprotocol = self.subprotocol || names.subprotocol
        }
    }

    /// Whether a route reads tokens in such a place. Cookies and parameters of other names are not looked at.
    func have(_ place: CarrierNames.Place) -> Bool {
        switch place {
        case .authorization: self.authorization
        case .queryParameter, .cookie: true
        case .subprotocol: self.subprotocol
        }
    }
}
