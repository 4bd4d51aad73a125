//go:build race

package tokens

// raceDetector is for the one test that counts in millions, which the detector
// would slow down to minutes.
const raceDetector = true
