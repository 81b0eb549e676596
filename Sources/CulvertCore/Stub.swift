import Crypto
import DequeModule
import NIOCore
