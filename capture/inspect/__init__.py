"""Looking into captured TLS connections with a key log; for people, not for the agent.

`Inspection` (`inspection`) is the entry. `reassembly` orders bytes, `tls` reads records (`tls_hello`, `tls_ciphers`),
`keylog` holds the secrets. `messages` puts what records held together (`http_messages`, `websocket_messages`).
"""

from capture.inspect.inspection import Decrypted, Inspection, decrypt_capture

__all__ = ["Decrypted", "Inspection", "decrypt_capture"]
