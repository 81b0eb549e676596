import Glibc

/// Says how an operator runs a command as another user.
enum RunAs {
    /// For a message. A user without a name is named by its number.
    static func advice(_ user: uid_t) -> String {
        let name = getpwuid(user).flatMap { $0.pointee.pw_name }.map { String(cString: $0) }
        let how = name.map { "runuser -u \($0) -- culvert …" } ?? "setpriv --reuid \(user) --clear-groups culvert …"
        return "run this command as uid \(user) (\(how))"
    }
}
