import CulvertCore
import NIOCore

extension ConfigReader {
    func strictTransport(_ node: ConfigNode) -> StrictTransport? {
        guard let keys = node.section(["max_age", "include_subdomains", "preload"], required: ["max_age"]),
            let maxAge = keys["max_age"]?.time(.zero ... .hours(24 * 365 * 10))
        else { return nil }
        let hsts = StrictTransport(
            maxAge: maxAge, includeSubdomains: keys["include_subdomains"]?.bool() ?? false,
            preload: keys["preload"]?.bool() ?? false)
        // The browsers' preload lists demand this (hstspreload.org).
        if hsts.preload, !hsts.includeSubdomains || maxAge < .hours(24 * 365) {
            keys["preload"]?.fail(
                "the preload lists want \"include_subdomains: true\" and a \"max_age\" of 8760h or more")
        }
        return hsts
    }
}
