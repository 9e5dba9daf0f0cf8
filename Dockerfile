# Server and console are bundled where everything is installed; the image holds the bundle, and the few packages that
# cannot be bundled within it.
ARG BASE_IMAGE=node:24-bookworm-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY config config
COPY migrations migrations
COPY src src
RUN node src/build.ts --self-contained

FROM ${BASE_IMAGE}
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8787 DATA_DIR=/data
WORKDIR /app
COPY package.json LICENSE ./
COPY config config
COPY --from=build /app/dist dist
RUN install -d -o node -g node -m 700 /data && ln -s /app/dist/server/main.js /usr/local/bin/token-broker
USER node
VOLUME /data
EXPOSE 8787
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/live`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["token-broker"]
CMD ["serve"]
