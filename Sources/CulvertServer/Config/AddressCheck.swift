import CulvertCore
import Glibc
import NIOCore

/// An address of the configuration that could not be bound now.
package struct AddressFault: Sendable {
    package var error: ConfigError
    /// What is in the way may be there at this moment only, or for this user only: another process, also the Culvert
    /// that runs, or the lack of a right that the service has.
    package var isOfTheMoment: Bool
    /// A Culvert of this user listens there, as far as the kernel tells: a reload or a takeover has no use for a free
    /// address.
    package var isOurs = false
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

    /// The errors of addresses that are one when their names are looked up. ``ConfigReader`` has compared their texts.
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
        let sockets = self.sockets.compactMap { socket -> AddressFault? in
            // What is wrong with the path itself is an error of ``checkState(adminToken:opensDatabase:)``.
            guard (try? UnixSocket.look(socket.path, connects: false)) != nil else { return nil }
            do {
                try UnixSocket.look(socket.path, isPacket: socket.isPacket, connects: true)
                return nil
            } catch {
                return AddressFault(
                    error: self.places[socket.keyPath].error(BindFault.words(error)), isOfTheMoment: true, isOurs: true)
            }
        }
        return self.addresses.compactMap(self.fault(of:)) + sockets
    }

    private func fault(of address: Address) -> AddressFault? {
        var isOfTheMoment = false
        var isOurs = false
        do {
            let found = try SocketAddress.makeAddressResolvingHost(address.host, port: address.port)
            do {
                try ListeningSocket.probe(found)
                return nil
            } catch let error as IOError {
                isOfTheMoment = [EADDRINUSE, EACCES].contains(error.errnoCode)
                isOurs = error.errnoCode == EADDRINUSE && (try? ListeningSocket.probe(found, sharesPort: true)) != nil
                throw error
            }
        } catch {
            return AddressFault(
                error: self.places[address.keyPath].error("\(address.text): \(BindFault.words(error))"),
                isOfTheMoment: isOfTheMoment, isOurs: isOurs)
        }
    }

    /// The Unix sockets that Culvert makes.
    private var sockets: [(keyPath: String, path: String, isPacket: Bool)] {
        let admin = self.admin?.socket.map { (keyPath: "admin.address", path: $0, isPacket: false) }
        let takeover = self.takeover.map { (keyPath: "takeover", path: $0, isPacket: true) }
        return [admin, takeover].compactMap { $0 }
    }

    /// The errors in the places of what Culvert makes itself: the database, the admin token and the Unix sockets. Looks
    /// at them as a start does, and makes and changes nothing.
    ///
    /// - Parameters:
    ///   - adminToken: the value of `CULVERT_ADMIN_TOKEN`, which takes the place of the file.
    ///   - opensDatabase: false at a start, which opens the database itself.
    package func checkState(adminToken: String?, opensDatabase: Bool) -> [ConfigError] {
        var errors: [ConfigError] = []
        if let admin = self.admin, self.state != nil {
            do throws(AdminToken.Unusable) {
                try AdminToken.look(file: admin.tokenFile, environment: adminToken)
            } catch {
                errors.append(self.places["admin.token_file"].error(error.description))
            }
        }
        if opensDatabase, let state = self.state {
            do throws(StoreError) {
                errors += try StoreLook.conflicts(state, with: self.authentication.tokens)
            } catch {
                errors.append(self.places["state"].error(error.description))
            }
        }
        for socket in self.sockets {
            do {
                try UnixSocket.look(socket.path, isPacket: socket.isPacket, connects: false)
            } catch {
                errors.append(self.places[socket.keyPath].error(BindFault.words(error)))
            }
        }
        return errors.inOrder
    }
}
