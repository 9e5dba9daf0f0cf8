import type { Language } from '../base/language.ts'

/** What `--help` says, and every mistake in the words of a call. */
export const USAGE: Readonly<Record<Language, string>> = {
  en: `token-broker COMMAND

  serve                        start the broker
  login [PROVIDER]             by device flow (default qwen) or a browser; of a session, its token from stdin
  status [PROVIDER]            who is logged in, and for how long
  token [PROVIDER]             print a valid access token, refreshing if due
  token --config NAME          the same, of a model config
  logout [PROVIDER]            forget the login
  import FILE --name NAME      a credentials file, or a session's token, into a model config (-: from stdin)
         [--provider qwen] [--model ID …]
  import mysql://… | env:NAME  the accounts of another program's model_configs, which stays as it is
         [--encryption-key env:NAME]  what its keys and tokens are sealed with, where it is not our own key
  keys [list] | create NAME [--config NAME …] [--model ID …] [--may-read-tokens]
         rotate ID [--overlap-seconds 86400]  another key for the same | revoke ID
  configs [list] | create NAME --provider NAME [--model ID …] [--base-url URL]
         [--api-key env:NAME]  the key is read from there, else from stdin
         [--input NAME=VALUE …] [--input-file NAME=PATH …]  what its provider asks for: of a secret one
         NAME=env:VARIABLE or a file; what is left out comes from stdin
  doctor [CONFIG]              what is wrong with a config, and what to do
  provider check FILE          is a provider file right, and what would it send; calls nobody
         [--input NAME=VALUE …] [--input-file NAME=PATH …]
  encryption-key generate | rotate | seal --yes
  migrate                      bring the database up to date
  completion bash | zsh | fish what the shell offers at the Tab key

Every command takes --json. Exit codes: 1 it failed, 2 the command line is wrong, 3 a login is needed, 4 not available now.
login, status, token and logout need no server; they use ~/.one_dragon_alpha/PROVIDER_oauth_creds.json.
`,
  zh: `token-broker 命令

  serve                        启动 broker
  login [PROVIDER]             用设备码（默认 qwen）或浏览器登录；会话类提供方则从标准输入读取令牌
  status [PROVIDER]            谁已登录，还能用多久
  token [PROVIDER]             打印有效的访问令牌，必要时先续期
  token --config NAME          同上，取某个模型配置的令牌
  logout [PROVIDER]            忘掉登录
  import FILE --name NAME      把凭据文件或会话令牌导入为模型配置（-：从标准输入读取）
         [--provider qwen] [--model ID …]
  import mysql://… | env:NAME  导入另一个程序 model_configs 中的账号，原库保持不变
         [--encryption-key env:NAME]  对方加密密钥和令牌所用的密钥，与本机不同时填写
  keys [list] | create NAME [--config NAME …] [--model ID …] [--may-read-tokens]
         rotate ID [--overlap-seconds 86400]  为同一项换一个新密钥 | revoke ID
  configs [list] | create NAME --provider NAME [--model ID …] [--base-url URL]
         [--api-key env:NAME]  从该处读取密钥，否则从标准输入读取
         [--input NAME=VALUE …] [--input-file NAME=PATH …]  提供方要求的参数：机密参数写作
         NAME=env:VARIABLE 或来自文件；未给出的从标准输入读取
  doctor [CONFIG]              配置哪里出了问题，该怎么办
  provider check FILE          检查提供方文件，并显示它会发送什么；不访问网络
         [--input NAME=VALUE …] [--input-file NAME=PATH …]
  encryption-key generate | rotate | seal --yes
  migrate                      把数据库升级到最新
  completion bash | zsh | fish 按 Tab 键时的补全

每个命令都支持 --json。退出码：1 失败，2 命令行有误，3 需要登录，4 暂时不可用。
login、status、token 和 logout 不需要服务器，使用 ~/.one_dragon_alpha/PROVIDER_oauth_creds.json。
`,
}
