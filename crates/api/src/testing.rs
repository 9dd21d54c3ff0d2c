//! An application on a fresh database, called without a socket.
