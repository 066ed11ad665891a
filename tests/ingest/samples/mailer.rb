require "net/smtp"

module Shop
  MAX_TRIES = 3

  # Sends messages, and tries again when the server is busy.
  class Mailer
    attr_reader :host

    def initialize(host, port: 25)
      @host = host
      @port = port
      @queue = []
      @failed = Hash.new { |hash, address| hash[address] = [] }
    end

    # Sends what is queued.
    def deliver(limit = nil)
      batch = limit ? @queue.shift(limit) : @queue.slice!(0..)
      Net::SMTP.start(@host, @port) do |smtp|
        batch.each do |message|
          smtp.send_message(message.body, message.sender, message.recipients)
        rescue Net::SMTPServerBusy => error
          @failed[message.recipients] << error.message
        end
      end
      batch.size
    end

    def self.from_settings(settings)
      mailer = new(settings.fetch("host"), port: settings.fetch("port", 25))
      settings.fetch("welcome", []).each do |address|
        mailer.queue(Message.new(body: "Welcome", sender: "shop@example.org", recipients: [address]))
      end
      mailer
    end
  end
end
