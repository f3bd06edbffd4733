"""Files that ship with the app: sample, face models, mesh data, licences."""
