/** @fastify/http-proxy with nothing around it. */
import httpProxy from '@fastify/http-proxy'
import Fastify from 'fastify'
import { options, serve } from './parent.ts'

const { upstream } = options<{ upstream: string }>()
const app = Fastify({ logger: false })
await app.register(httpProxy, { upstream })
await app.ready()
serve(app.server)
