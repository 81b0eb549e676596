import CulvertCore
import NIOSSL
import NIOHTTP1
import NIOPosix
import Yams
import ServiceLifecycle
