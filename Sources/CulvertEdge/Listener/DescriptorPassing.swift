import CulvertSystem
import Glibc
import NIOCore

/// Messages with file descriptors over a Unix socket that keeps messages apart (unix(7), SCM_RIGHTS).
enum DescriptorPassing {
    struct Message {
        var text: String
        var descriptors: [CInt] = []

        func close() { for descriptor in self.descriptors { Glibc.close(descriptor) } }
    }

    /// A message that no process of this program sends.
    struct Malformed: Error, CustomStringConvertible {
        var description: String
    }

    /// The most descriptors in one message; the kernel takes 253.
    static let mostDescriptors = 200
    private static let textLimit = 512
    /// A `cmsghdr` before its data: a length of the machine's word, a level and a type.
    private static let headerSize = MemoryLayout<Int>.size + 2 * MemoryLayout<CInt>.size

    static func send(_ message: Message, on socket: CInt) throws {
        var text = Array(message.text.utf8)
        let length = self.headerSize + message.descriptors.count * MemoryLayout<CInt>.size
        let control = UnsafeMutableRawBufferPointer.allocate(byteCount: (length + 7) & ~7, alignment: 8)
        defer { control.deallocate() }
        control.initializeMemory(as: UInt8.self, repeating: 0)
        control.storeBytes(of: length, as: Int.self)
        control.storeBytes(of: SOL_SOCKET, toByteOffset: MemoryLayout<Int>.size, as: CInt.self)
        control.storeBytes(
            of: CInt(SCM_RIGHTS), toByteOffset: MemoryLayout<Int>.size + MemoryLayout<CInt>.size,
            as: CInt.self)
        for (index, descriptor) in message.descriptors.enumerated() {
            control.storeBytes(
                of: descriptor, toByteOffset: self.headerSize + index * MemoryLayout<CInt>.size, as: CInt.self)
        }
        let sent = text.withUnsafeMutableBytes { bytes in
            var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
            return withUnsafeMutablePointer(to: &vector) { vector in
                var header = msghdr()
                header.msg_iov = vector
                header.msg_iovlen = 1
                if !message.descriptors.isEmpty {
                    header.msg_control = control.baseAddress
                    header.msg_controllen = control.count
                }
                return sendmsg(socket, &header, CInt(MSG_NOSIGNAL))
            }
        }
        guard sent == text.count else { throw IOError(errnoCode: errno, reason: "sendmsg") }
    }

    /// - Returns: nil when the other end is closed.
    /// - Throws: ``Malformed`` for a message that came in part: the kernel cuts off text, and descriptors that this
    ///   process has no room for.
    static func receive(from socket: CInt) throws -> Message? {
        var text = [UInt8](repeating: 0, count: self.textLimit)
        let size = self.headerSize + self.mostDescriptors * MemoryLayout<CInt>.size
        let control = UnsafeMutableRawBufferPointer.allocate(byteCount: (size + 7) & ~7, alignment: 8)
        defer { control.deallocate() }
        control.initializeMemory(as: UInt8.self, repeating: 0)
        var controlLength = 0
        var flags: CInt = 0
        let count = text.withUnsafeMutableBytes { bytes in
            var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
            return withUnsafeMutablePointer(to: &vector) { vector in
                var header = msghdr()
                header.msg_iov = vector
                header.msg_iovlen = 1
                header.msg_control = control.baseAddress
                header.msg_controllen = control.count
                let count = recvmsg(socket, &header, CInt(MSG_CMSG_CLOEXEC))
                controlLength = header.msg_controllen
                flags = header.msg_flags
                return count
            }
        }
        guard count >= 0 else { throw IOError(errnoCode: errno, reason: "recvmsg") }
        if count == 0 { return nil }
        let message = self.message(String(decoding: text[..<count], as: UTF8.self), control, controlLength)
        if flags & (CInt(MSG_TRUNC) | CInt(MSG_CTRUNC)) != 0 {
            message.close()
            let isShort = flags & CInt(MSG_CTRUNC) != 0
            throw Malformed(
                description: isShort
                    ? "not all of its descriptors could be received\(FileDescriptors.note)"
                    : "a message of more than \(self.textLimit) bytes")
        }
        return message
    }

    private static func message(
        _ text: String, _ control: UnsafeMutableRawBufferPointer, _ controlLength: Int
    ) -> Message {
        var message = Message(text: text)
        guard controlLength >= self.headerSize else { return message }
        let length = control.load(as: Int.self)
        let level = control.load(fromByteOffset: MemoryLayout<Int>.size, as: CInt.self)
        let type = control.load(fromByteOffset: MemoryLayout<Int>.size + MemoryLayout<CInt>.size, as: CInt.self)
        guard level == SOL_SOCKET, type == CInt(SCM_RIGHTS), length <= controlLength else { return message }
        for offset in stride(from: self.headerSize, to: length, by: MemoryLayout<CInt>.size)
        where offset + MemoryLayout<CInt>.size <= controlLength {
            message.descriptors.append(control.load(fromByteOffset: offset, as: CInt.self))
        }
        return message
    }
}
