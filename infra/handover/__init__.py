"""What parties who share no credentials give each other: the startup kit, the hand-over file, the certificate.

Also the one block of ``federation.yaml`` by which a site comes or goes, with the proof that no other site is touched.
"""
