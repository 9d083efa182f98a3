"""What several operator files share: windows, broadcasting, index arithmetic of layouts, recurrent layers, gates."""
