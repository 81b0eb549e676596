import CulvertCore

extension EdgeSessions: RebalancedSessions {
    func candidates(of pool: ServerPool) async -> [RebalanceCandidate] {
        await self.collect { session in
            pool.servers.firstIndex { $0.isSame(as: session.lease.server) }.map { server in
                RebalanceCandidate(id: session.id, openedAt: session.life.openedAt, server: server)
            }
        }
    }
}
