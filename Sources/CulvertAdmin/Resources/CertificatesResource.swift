import CulvertEdge
import CulvertSystem
import NIOHTTP1

/// `/v1/certificates`: shows the certificates of all listeners, and how long each is still valid.
struct CertificatesResource: Sendable {
    let certificates: CertificateWatch

    func answer(_ request: AdminRequest) throws(AdminFailure) -> HTTPAnswer {
        try request.allowPlainRead()
        let items = self.certificates.certificates.map { info in
            JSONWriter.object {
                $0.add("listener", info.listener)
                $0.add("file", info.file)
                $0.add("names", info.names)
                $0.add("not_before", time: info.notBefore)
                $0.add("not_after", time: info.notAfter)
                $0.add("seconds_left", Int(clamping: info.notAfter - Clock.unixSeconds()))
            }
        }
        return HTTPAnswer(.ok, json: JSONWriter.page(items, next: nil))
    }
}
