package import CulvertConfig
import CulvertCore
import CulvertEdge
import CulvertTokens
import Glibc
import NIOCore

/// An address of the configuration that could not be bound now.
package struct AddressFault: Sendable {
    /// Says why a start could not bind the address.
    package var error: ConfigError
    /// True if the cause may pass, or depends on the user: another process holds the address, or this user may not bind
    /// it.
    package var isOfTheMoment: Bool
    /// True if a process listens at the address. It may be the Culvert that a reload is for.
    package var isInUse = false

    /// The fault before a reload or a takeover, which need no free address.
    package var warning: ConfigError {
        var warning = self.error
        if self.isInUse { warning.message += ". Beside a running Culvert of this configuration this is normal" }
        return warning
    }
}

extension ProxyConfig {
    private struct Address {
        var keyPath: String
        var text: String
        var host: String
        var port: Int
    }

    private var addresses: [Address] {
        var addresses = self.listen.enumerated().map { index, listen in
            Address(keyPath: "listen[\(index)].address", text: listen.address, host: listen.host, port: listen.port)
        }
        if let admin = self.admin, admin.socket == nil {
            addresses.append(
                Address(keyPath: "admin.address", text: admin.address, host: admin.host, port: admin.port))
        }
        return addresses
    }

    /// The errors of addresses that are one when their names are looked up. ``ListenSection/Reader`` has compared their
    /// texts.
    package func checkAddresses() -> [ConfigError] {
        let addresses = self.addresses
        guard addresses.contains(where: { !$0.host.isIPAddress }) else { return [] }
        let places = addresses.map { address -> ListenPlace? in
            let found = try? SocketAddress.makeAddressResolvingHost(address.host, port: address.port)
            return found?.ipAddress.map { ListenPlace(host: $0, port: address.port) }
        }
        var errors: [ConfigError] = []
        for (index, address) in addresses.enumerated() {
            guard let place = places[index],
                let other = addresses.indices.prefix(index).first(where: { places[$0]?.overlaps(place) ?? false })
            else { continue }
            errors.append(
                self.places[address.keyPath].error(
                    "\(address.text) leads to the same address as \(addresses[other].text) "
                        + "(\(self.places.name(addresses[other].keyPath))); choose another port for one of them"))
        }
        return errors
    }

    /// Tries whether each address can be bound now, and each Unix socket made. The sockets are closed at once: no
    /// connection is taken, and a Culvert that listens there goes on.
    package func tryAddresses() -> [AddressFault] {
        self.addresses.compactMap(self.fault(of:))
            + self.sockets.compactMap { self.socketFault($0.keyPath, $0.path, isPacket: $0.isPacket) }
    }

    private func socketFault(_ keyPath: String, _ path: String, isPacket: Bool) -> AddressFault? {
        // ``checkState(adminToken:)`` reports faults of the path itself.
        guard (try? UnixSocket.look(path, connects: false)) != nil else { return nil }
        do {
            try UnixSocket.look(path, isPacket: isPacket, connects: true)
            return nil
        } catch {
            // This Culvert has made neither a socket of another kind nor one that this user may not connect to.
            return AddressFault(
                error: self.places[keyPath].error(BindFault.words(error, socket: path)), isOfTheMoment: true,
                isInUse: error is UnixSocket.InUse)
        }
    }

    private func fault(of address: Address) -> AddressFault? {
        do {
            try ListeningSocket.probe(try SocketAddress.makeAddressResolvingHost(address.host, port: address.port))
            return nil
        } catch {
            let code = (error as? IOError)?.errnoCode ?? 0
            return AddressFault(
                error: self.places[address.keyPath].error("\(address.text): \(BindFault.words(error))"),
                isOfTheMoment: [EADDRINUSE, EACCES].contains(code), isInUse: code == EADDRINUSE)
        }
    }

    /// The Unix sockets that Culvert makes.
    private var sockets: [(keyPath: String, path: String, isPacket: Bool)] {
        let admin = self.admin?.socket.map { (keyPath: "admin.address", path: $0, isPacket: false) }
        let takeover = self.takeover.map { (keyPath: "takeover", path: $0, isPacket: true) }
        return [admin, takeover].compactMap { $0 }
    }

    /// The errors in the places of the files that Culvert makes itself: the admin token and the Unix sockets. Two keys
    /// that lead to one file are an error too. Looks at the places as a start does, and makes and changes nothing.
    /// ``checkDatabase()`` looks at the database.
    ///
    /// - Parameter adminToken: the value of `CULVERT_ADMIN_TOKEN`, which takes the place of the file.
    package func checkState(adminToken: String?) -> [ConfigError] {
        var errors: [ConfigError] = PathCollisions.find(
            [
                ("admin.address", self.admin?.socket), ("admin.token_file", self.admin?.tokenFile),
                ("state", self.state), ("takeover", self.takeover),
            ], self.places)
        if let admin = self.admin, self.state != nil {
            do throws(AdminToken.Unusable) {
                try AdminToken.look(file: admin.tokenFile, environment: adminToken)
            } catch {
                // A token of the environment has no place in the file.
                let keyPath = adminToken == nil ? "admin.token_file" : "admin"
                errors.append(self.places[keyPath].error(error.description))
            }
        }
        for socket in self.sockets {
            do {
                try UnixSocket.look(socket.path, isPacket: socket.isPacket, connects: false)
            } catch {
                errors.append(self.places[socket.keyPath].error(BindFault.words(error, socket: socket.path)))
            }
        }
        return errors.inOrder
    }

    /// Looks at the database as a start would open it, for a check: a start opens the database itself.
    ///
    /// - Returns: the errors, and a warning for a database that cannot be looked at now without changing it.
    package func checkDatabase() -> (errors: [ConfigError], warnings: [ConfigError]) {
        guard let state = self.state else { return ([], []) }
        do throws(StoreError) {
            switch try StoreLook.look(state, for: self.authentication.tokens.map(\.configuredSecret)) {
            case .conflicts(let conflicts): return (ConfigToken.errors(conflicts, of: self.authentication.tokens), [])
            case .notNow(let reason): return ([], [self.places["state"].error(reason)])
            }
        } catch {
            return ([self.places["state"].error(error.description)], [])
        }
    }
}
