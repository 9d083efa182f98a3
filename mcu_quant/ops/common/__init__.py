"""What several operator files share: windows, index arithmetic of layouts, recurrent layers and their gates."""
