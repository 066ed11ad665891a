import Foundation

let maximumAge: TimeInterval = 3600

/// What can be kept on disk.
protocol Storable: Codable {
    var key: String { get }
}

enum StoreError: Error {
    case missing(String)
    case damaged
}

/// Keeps values in files of one folder.
final class Store<Value: Storable> {
    private let folder: URL

    init(folder: URL) throws {
        self.folder = folder
        let manager = FileManager.default
        if !manager.fileExists(atPath: folder.path) {
            try manager.createDirectory(at: folder, withIntermediateDirectories: true, attributes: nil)
        }
        try manager.setAttributes([.posixPermissions: 0o700], ofItemAtPath: folder.path)
    }

    func load(_ key: String) throws -> Value {
        let file = folder.appendingPathComponent(key).appendingPathExtension("json")
        guard let data = try? Data(contentsOf: file) else {
            throw StoreError.missing(key)
        }
        do {
            return try JSONDecoder().decode(Value.self, from: data)
        } catch {
            throw StoreError.damaged
        }
    }
}

extension Store {
    func removeAll(olderThan age: TimeInterval = maximumAge) throws {
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        for file in files where file.pathExtension == "json" {
            let attributes = try FileManager.default.attributesOfItem(atPath: file.path)
            let changed = attributes[.modificationDate] as? Date ?? .distantPast
            if changed.timeIntervalSinceNow < -age { try FileManager.default.removeItem(at: file) }
        }
    }
}

func normalized(_ key: String) -> String { key.lowercased() }
