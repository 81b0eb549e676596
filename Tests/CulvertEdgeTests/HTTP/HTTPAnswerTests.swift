import NIOCore
import NIOHTTP1
import Testing

@testable import CulvertEdge

@Suite("The body of an answer")
struct HTTPAnswerTests {
    @Test(
        "A body is written where the status has one, and the request was no HEAD",
        arguments: [
            (.ok, .GET, 3), (.ok, nil, 3), (.ok, .HEAD, 0), (.notFound, .POST, 3), (.noContent, .GET, 0),
            (.notModified, .GET, 0),
        ] as [(HTTPResponseStatus, HTTPMethod?, Int)])
    func length(status: HTTPResponseStatus, method: HTTPMethod?, length: Int) {
        let answer = HTTPAnswer(status: status, body: ByteBuffer(string: "abc"))
        #expect(answer.writtenLength(to: method) == length)
        #expect(HTTPAnswer(status: status).writtenLength(to: method) == 0)
    }

    @Test("A body goes out in pieces if it is longer than one", arguments: [-1, 0, 1])
    func pieces(more: Int) {
        let body = ByteBuffer(repeating: 7, count: AnswerWriter.piece + more)
        #expect(HTTPAnswer(status: .ok, body: body).isInPieces == (more > 0))
    }
}
