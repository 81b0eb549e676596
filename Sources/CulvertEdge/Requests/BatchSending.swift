import CulvertCore
import NIOCore

/// A `POST` to an open session: brings it a batch of messages. ``RequestRouter`` begins it, on the request's loop.
///
/// A small batch is read at once. A large batch is read in slices of its loop, because it may cost milliseconds and
/// very many may come in the same moment. The connection is not read meanwhile, since its request has no answer.
struct BatchSending {
    let call: SessionCall
    /// The form of the batch.
    let codec: PollCodec

    /// The most bytes that one message may have.
    var messageLimit: Int { self.call.admission.route.message.kept(from: .client) }

    /// Asks the session whether it would take a batch at all, unless the batch is here already.
    func begin() {
        if self.call.request.exchange.isBodyHere {
            self.collect(claim: .unbounded)
        } else {
            let claim = self.call.id.map { BodyClaim.session($0) } ?? .unbounded
            self.call.ask(.offer) { self.collect(claim: claim) }
        }
    }

    private func collect(claim: BodyClaim) {
        let request = self.call.request
        let limit = request.state.rules.bodyLimit(self.call.admission.route.message)
        request.exchange.collectBody(limit: limit, claim: claim) { body in
            if body.readableBytes <= BatchReading.mostAtOnce(isBusy: request.state.slices.isBusy) {
                self.read(body)
            } else {
                BatchReading(body, of: self).enqueue()
            }
        }
    }

    /// Reads a whole batch, and gives it to its session.
    private func read(_ body: ByteBuffer) {
        let state = self.call.request.state
        do throws(PollProblem) {
            let batch = try self.codec.decode(
                body, messageLimit: self.messageLimit, batchLimit: state.rules.settings.maxBatch)
            state.slices.notePassed(batch.messages.count)
            self.call.ask(.send(batch))
        } catch {
            self.call.answer(.badBatch(error))
        }
    }
}
