import fc from 'fast-check'
import t from 'tap'
import { closeFrame, type FrameError, FrameReader } from '../../src/gateway/frames.ts'

interface Frame {
  readonly opcode: number
  readonly isFinal: boolean
  readonly payload: Buffer
}

function encode({ opcode, isFinal, payload }: Frame, mask: Buffer | undefined): Buffer {
  const length = payload.length
  const short = length < 126 ? length : length < 65_536 ? 126 : 127
  const head = [(isFinal ? 0x80 : 0) | opcode, (mask ? 0x80 : 0) | short]
  const long = Buffer.alloc(short < 126 ? 0 : short === 126 ? 2 : 8)
  if (short === 126) long.writeUInt16BE(length)
  else if (short === 127) long.writeBigUInt64BE(BigInt(length))
  const body = mask ? payload.map((byte, i) => byte ^ (mask[i % 4] ?? 0)) : payload
  return Buffer.concat([Buffer.from(head), long, mask ?? Buffer.alloc(0), body])
}

function reading(isMasked: boolean) {
  const messages: string[] = []
  let text = ''
  const sink = {
    wantsMore: true,
    onData: (piece: string) => {
      text += piece
    },
    onMessageEnd: () => {
      messages.push(text)
      text = ''
    },
  }
  return { reader: new FrameReader(isMasked, sink), messages }
}

const length = fc.oneof(fc.nat(130), fc.constantFrom(125, 126, 65_535, 65_536, 70_000))
const payload = fc.tuple(length, fc.nat(255)).map(([size, byte]) => Buffer.alloc(size, byte))
const ping = fc.tuple(fc.constantFrom(9, 10), fc.nat(125)).map(([opcode, size]) => ({
  opcode,
  isFinal: true,
  payload: Buffer.alloc(size, 7),
}))
/** A message in pieces, with pings between them. */
const message = fc
  .tuple(fc.constantFrom(1, 2), fc.array(fc.tuple(payload, fc.option(ping)), { minLength: 1, maxLength: 4 }))
  .map(([opcode, pieces]) => ({
    said: Buffer.concat(pieces.map(([piece]) => piece)).toString('latin1'),
    frames: pieces.flatMap(([piece, between], i): Frame[] => [
      { opcode: i === 0 ? opcode : 0, isFinal: i === pieces.length - 1, payload: piece },
      ...(between ? [between] : []),
    ]),
  }))

t.test('every message is heard whole, and every end of a frame is known', async (t) => {
  const run = fc.check(
    fc.property(
      fc.array(message, { maxLength: 4 }),
      fc.boolean(),
      fc.array(fc.integer({ min: 1, max: 9_000 }), { minLength: 1, maxLength: 5 }),
      (sent, isMasked, cuts) => {
        const mask = isMasked ? Buffer.from([1, 0, 255, 77]) : undefined
        const frames = sent.flatMap(({ frames }) => frames).map((frame) => encode(frame, mask))
        const ends = new Set<number>([0])
        for (const frame of frames) ends.add(Math.max(...ends) + frame.length)
        const bytes = Buffer.concat([...frames, closeFrame(1000, '', isMasked)])
        const { reader, messages } = reading(isMasked)
        for (let at = 0, i = 0; at < bytes.length; i += 1) {
          const end = Math.min(bytes.length, at + (cuts[i % cuts.length] ?? 1))
          const stops = i % 2 === 1
          const used = reader.push(bytes.subarray(at, end), stops)
          at += used
          if (!stops && at !== end) return false
          if (reader.isBetweenFrames !== (ends.has(at) || at === bytes.length)) return false
        }
        const said = sent.map((each) => each.said)
        return reader.hasClosed && JSON.stringify(messages) === JSON.stringify(said)
      },
    ),
    { numRuns: 300 },
  )
  t.equal(run.failed, false, `seed ${run.seed}: ${fc.stringify(run.counterexample)}`)
})

t.test('no bytes do harm, and what is no frame is told by its code', async (t) => {
  const run = fc.check(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, isMasked) => {
      try {
        reading(isMasked).reader.push(Buffer.from(bytes))
        return true
      } catch (error) {
        return [1002, 1009].includes((error as FrameError).code)
      }
    }),
    { numRuns: 3_000 },
  )
  t.equal(run.failed, false, `seed ${run.seed}: ${fc.stringify(run.counterexample)}`)
})

t.test('a reason is cut to what a close frame may hold, between two characters', async (t) => {
  const frame = closeFrame(1008, '模'.repeat(60), false)
  t.equal(frame[1], 2 + 123)
  t.equal(frame.subarray(4).toString(), '模'.repeat(41))
  t.equal(closeFrame(1008, 'é'.repeat(62), false).subarray(4).toString(), 'é'.repeat(61))
})
