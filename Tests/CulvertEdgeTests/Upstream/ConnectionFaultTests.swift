import NIOCore
import Testing

@testable import CulvertEdge

@Suite("Why a connection failed, in words")
struct ConnectionFaultTests {
    @Test("The system's reason, Culvert's own words, and nothing of a framework's")
    func words() {
        #expect(ConnectionFault.words(IOError(errnoCode: 111, reason: "connect(x:)")) == "Connection refused")
        #expect(ConnectionFault.words(ChannelError.eof) == "the connection was closed")
        #expect(
            ConnectionFault.words(UpstreamHandshakeHandler.ConnectionLost())
                == "the connection ended without an answer")
    }

    @Test("What to do about an address that cannot be bound")
    func binding() {
        #expect(
            BindFault.words(IOError(errnoCode: 98, reason: "bind"))
                == "Address already in use; stop the process that listens there, or choose another port")
    }
}
